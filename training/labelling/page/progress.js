// Progress: what is named, what it cost, what was decided and by whom, and how to go on.

import { decide, redo, undo } from "./decisions.js";
import { announce, bar, button, byId, count, duration, element, number, percent, travels } from "./dom.js";
import { createLabelBox } from "./labelbox.js";
import { ask } from "./questions.js";
import { coverage, labelsInUse, nameOf, onChange, store, undecided } from "./store.js";

let visible = false;
let renaming = null; // label

function showNumbers() {
  const sum = coverage();
  const { progress } = store;
  const left = sum.clusters - sum.named;
  const tile = (value, name, share) =>
    element("div", { className: "number" }, element("strong", {}, value), element("span", {}, name), share === undefined ? null : bar(share));
  const readers = progress.readers.map((one) => `${one.reader} ${number(one.decisions)}`).join(", ");
  byId("numbers").replaceChildren(
    tile(`${number(sum.named)} of ${number(sum.clusters)}`, "clusters decided", sum.named / Math.max(1, sum.clusters)),
    tile(percent(sum.covered / Math.max(1, sum.radiographs)), `${number(sum.covered)} of ${count(sum.radiographs, "radiograph")} covered`,
      sum.covered / Math.max(1, sum.radiographs)),
    tile(progress.decisions_per_1000.toFixed(1), "decisions per 1,000 radiographs"),
    tile(progress.seconds_per_decision === null ? "–" : `${progress.seconds_per_decision.toFixed(1)} s`, "per decision"),
    tile(left === 0 ? "Done" : progress.seconds_left === null ? "–" : duration(progress.seconds_left), left === 0 ? "nothing is left" : "left at this pace"),
    tile(number(progress.corrections), "radiographs moved or confirmed"),
    element("p", { className: "fine" }, `${number(progress.discarded)} discarded, ${number(progress.mixed)} mixed. Decisions: ${readers || "none yet"}.`));
}

function showLabels() {
  const lines = labelsInUse();
  if (!lines.length) {
    byId("label-table").replaceChildren(element("p", { className: "fine" }, "No cluster is named yet."));
    return;
  }
  const most = lines[0].radiographs;
  const rows = lines.map((line) => {
    const rename = button("Rename", "", () => startRenaming(line.label), "button quiet small");
    rename.setAttribute("aria-label", `Rename or merge ${nameOf(line.label)}`);
    rename.disabled = ["discard", "mixed"].includes(line.label);
    const row = element("tr", {},
      element("th", { scope: "row" }, nameOf(line.label),
        element("span", { className: "codes" }, line.clusters > 1 ? `merged from ${count(line.clusters, "cluster")}` : "1 cluster")),
      element("td", {}, element("span", { className: "percent" }, number(line.radiographs)), bar(line.radiographs / most)),
      element("td", { className: "end" }, rename));
    if (renaming !== line.label) return [row];
    const box = createLabelBox({
      label: `New name for ${nameOf(line.label)}; an existing label merges the two`, digits: false,
      onChoose: ({ label }) => finishRenaming(line, label),
    });
    box.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && box.isEmpty()) startRenaming(null);
      else if (event.key !== "Enter" || !box.isEmpty()) box.handleKey(event);
      event.stopPropagation();
    });
    setTimeout(() => box.input.focus());
    return [row, element("tr", {}, element("td", { colSpan: 3 }, box.root))];
  });
  byId("label-table").replaceChildren(
    element("table", {}, element("thead", { className: "for-readers" },
      element("tr", {}, element("th", { scope: "col" }, "Label"), element("th", { scope: "col" }, "Radiographs"), element("th", { scope: "col" }, "Rename"))),
    element("tbody", {}, ...rows.flat())));
}

function startRenaming(label) {
  renaming = label;
  showLabels();
}

function finishRenaming(line, label) {
  renaming = null;
  if (label === line.label) return showLabels();
  decide({ action: "name", clusters: line.ids, label, view: "", laterality: "", note: "", source: "typed", shown: 0 });
  announce(`${nameOf(line.label)} is now ${nameOf(label)}: ${count(line.ids.length, "cluster")}.`);
  return showLabels();
}

const clock = (time) => new Date(time).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

function showHistory() {
  byId("history").replaceChildren(...store.history.map((entry) => {
    const takeBack = entry.can_undo && !entry.undone
      ? button("Undo", "", async () => {
        const clusters = await undo(entry.number);
        if (clusters) announce("Taken back.");
      }, "button quiet small") : null;
    takeBack?.setAttribute("aria-label", `Undo entry ${entry.number}: ${entry.text}`);
    const words = entry.clusters.length
      ? element("a", { href: `#name/${entry.clusters[0]}` }, entry.text) : element("span", {}, entry.text);
    return element("li", { className: entry.undone ? "undone" : "" },
      element("span", { className: "when" }, clock(entry.time)), element("span", { className: "who" }, entry.reader), words,
      entry.undone ? element("span", { className: "fine" }, "undone") : null, takeBack);
  }));
  if (!store.history.length) byId("history").append(element("li", { className: "fine" }, "Nothing is decided yet."));
}

function showContinue() {
  const open = undecided();
  const radiographs = open.reduce((sum, row) => sum + row.size, 0);
  const copy = button("Copy", "", async () => {
    try {
      await navigator.clipboard.writeText(store.run.command);
      announce("Copied.");
    } catch {
      getSelection().selectAllChildren(byId("command")); // without https the clipboard is closed to pages
      announce("Selected. Copy it with Ctrl+C.");
    }
  }, "button quiet small");
  const rest = button("Leave the rest out", "", leaveOut);
  rest.disabled = open.length === 0;
  byId("continue").replaceChildren(
    element("div", {},
      element("h2", {}, "Continue"),
      element("p", {}, open.length
        ? `${count(open.length, "cluster")} with ${count(radiographs, "radiograph")} ${open.length === 1 ? "is" : "are"} undecided. Phase 2 begins when every cluster is decided.`
        : "Every cluster is decided. Phase 2 learns from these labels; start it with this command:")),
    element("div", { className: "command" }, element("code", { id: "command" }, store.run.command), copy),
    element("div", { className: "buttons" }, rest, button("New round", "", newRound)));
}

async function leaveOut() {
  const open = undecided();
  const radiographs = open.reduce((sum, row) => sum + row.size, 0);
  const yes = await ask("Leave the rest out?",
    `${count(open.length, "undecided cluster")} with ${count(radiographs, "radiograph")} will be called mixed, in one decision. Nothing is learned from them. It can be undone.`,
    "Leave them out");
  if (!yes) return;
  decide({ action: "name", clusters: open.map((row) => row.id), label: "mixed", view: "", laterality: "", note: "", source: "typed" });
  announce(`${count(open.length, "cluster")} left out.`);
}

async function newRound() {
  const yes = await ask("Begin a new round?", "After phase 2 a new round of reading looks again at what the classifier doubts. The labels stay.", "Begin");
  if (!yes) return;
  const answer = await decide({ action: "round" });
  if (answer) announce(`Round ${store.round} begins.`);
}

function show() {
  showNumbers();
  showHistory();
  showContinue();
  if (renaming === null) showLabels();
}

export function startProgress() {
  onChange(() => visible && show());
}

export const progressView = {
  handleKey(event) {
    const again = travels(event);
    if (again === null) return;
    event.preventDefault();
    (again ? redo : undo)().then((clusters) => clusters && announce(again ? "Done again." : "Taken back."));
  },
  enter() {
    visible = true;
    history.replaceState(null, "", "#progress");
    show();
  },
  leave() {
    visible = false;
    renaming = null;
  },
};
