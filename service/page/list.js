// The list of files: what became of each, narrowed to what is of interest, and walked through with the arrow keys.

import { announce, byId, count, element, nameOf, number, percent, show } from "./dom.js";
import { countClasses, entries, FILTERS, isOpen, select, selected, tagAgreement } from "./entries.js";
import { explain, mayTryAgain } from "./failures.js";

const NAMES = {
  all: "All", accept: "Accept", review: "Review", out_of_scope: "Out of scope", tag: "Tag disagrees", refused: "Not classified",
};
const STEPS = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
const rows = new Map(); // entry -> its line
let filter = "all";
let label = ""; // only files of this class
let wasRunning = false;

const isListed = (entry) => FILTERS[filter](entry) && (label === "" || entry.answer?.classes[0].label === label);
const listed = () => entries.filter(isListed);

// ---- Lines ---------------------------------------------------------------------------------------------------------

function words(entry) {
  if (entry.state === "waiting") return ["waiting", "Waiting"];
  if (entry.state === "sending") return entry.isPaused ? ["waiting", "Service busy, asking again"] : ["sending", "Being classified"];
  if (entry.state !== "done") return [entry.state, explain(entry)[0]];
  const { decision, classes: [best] } = entry.answer;
  const name = decision === "out_of_scope" && best.label !== "not_musculoskeletal" ? "Out of scope" : nameOf(best.label);
  return [decision, decision === "accept" ? name : decision === "review" ? `Review: ${name.toLowerCase()}` : name];
}

function rowOf(entry) {
  const made = element("li", {
    id: `file-${entry.place}`, title: entry.path, aria: { role: "option" },
    onclick: () => select(entry),
  }, element("i", { className: "dot", aria: { hidden: "true" } }), element("span", { className: "file-name" }, entry.file.name),
  element("span", { className: "file-share" }), element("span", { className: "file-state" }), element("span", { className: "file-tag" }));
  rows.set(entry, made);
  byId("files").append(made);
  return made;
}

function showRow(entry) {
  const row = rows.get(entry) ?? rowOf(entry);
  const [kind, text] = words(entry);
  const [, , share, state, tag] = row.children;
  row.dataset.kind = kind;
  row.hidden = !isListed(entry);
  row.setAttribute("aria-selected", String(entry === selected()));
  share.textContent = entry.answer ? percent(entry.answer.classes[0].probability) : "";
  state.textContent = text;
  tag.textContent = entry.answer && tagAgreement(entry.answer) === false ? "≠ tag" : "";
}

/** Show what has changed; lines that have not are left alone, so that hundreds do not cost anything. */
export function showList(changed) {
  if (!entries.length && rows.size) {
    rows.clear();
    byId("files").replaceChildren();
  }
  for (const entry of changed) if (entries[entry.place] === entry) showRow(entry);
  showCounts();
  showPlace();
}

function showCounts() {
  const open = entries.filter(isOpen).length;
  const done = entries.length - open;
  const failed = entries.filter(FILTERS.refused).length;
  for (const [name, fits] of Object.entries(FILTERS)) byId(`count-${name}`).textContent = number(entries.filter(fits).length);
  byId("progress-text").textContent = open
    ? `${number(done)} of ${number(entries.length)} …`
    : `${number(entries.length - failed)} of ${number(entries.length)} classified`;
  byId("progress-bar").style.width = `${(100 * done) / Math.max(1, entries.length)}%`;
  show("cancel", open > 0);
  show("retry-all", open === 0 && entries.some(mayTryAgain));
  document.title = open ? `${done} of ${entries.length} · SAM-X` : "SAM-X: which part of the body does a radiograph show?";
  const classes = countClasses();
  const signature = classes.map((row) => `${row.label} ${row.total}`).join();
  if (byId("class-filter").dataset.shown !== signature) {
    byId("class-filter").dataset.shown = signature;
    byId("class-filter").replaceChildren(element("option", { value: "" }, "All classes"),
      ...classes.map((row) => element("option", { value: row.label }, `${nameOf(row.label)} (${number(row.total)})`)));
    byId("class-filter").value = label;
  }
  if (wasRunning && !open && entries.length > 1) announce(byId("progress-text").textContent);
  wasRunning = open > 0;
}

function showPlace() {
  const files = listed();
  const place = files.indexOf(selected());
  byId("place").textContent = place < 0 ? "" : `${number(place + 1)} of ${number(files.length)}${isNarrowed() ? " listed" : ""}`;
  byId("caption").textContent = selected()?.file.name ?? "";
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place >= files.length - 1;
  show("nothing-listed", files.length === 0 && entries.length > 0);
  const row = rows.get(selected());
  if (row) byId("files").setAttribute("aria-activedescendant", row.id);
}

// ---- Narrowing and walking -----------------------------------------------------------------------------------------

const isNarrowed = () => filter !== "all" || label !== "";

/** List only files of a decision or state, and of a class. */
export function narrow(changes) {
  ({ filter, label } = { filter, label, ...changes });
  document.querySelector(`input[name=filter][value=${filter}]`).checked = true;
  byId("class-filter").value = label;
  for (const [entry, row] of rows) row.hidden = !isListed(entry);
  const files = listed();
  if (files.length && !files.includes(selected())) select(files[0]);
  showPlace();
  announce(`${count(files.length, "file")} listed`);
}

function walk(step) {
  const files = listed();
  if (!files.length) return;
  const place = files.indexOf(selected());
  const target = files[Math.max(0, Math.min(files.length - 1, (place < 0 ? -Math.sign(step) : place) + step))];
  select(target);
  rows.get(target)?.scrollIntoView({ block: "nearest" });
}

/** Walk with a key; false for other keys. */
export function walkByKey(key) {
  const step = STEPS[key];
  if (step === undefined || entries.length < 2) return false;
  walk(step);
  return true;
}

export function startList() {
  byId("filters").append(...Object.entries(NAMES).map(([value, name]) =>
    element("label", { data: { kind: value } },
      element("input", { type: "radio", name: "filter", value, checked: value === filter, onchange: () => narrow({ filter: value }) }),
      element("span", {}, name, element("b", { id: `count-${value}` }, "0")))));
  byId("class-filter").addEventListener("change", (event) => narrow({ label: event.target.value }));
  byId("previous").addEventListener("click", () => walk(-1));
  byId("next").addEventListener("click", () => walk(1));
}
