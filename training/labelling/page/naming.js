// The view on which clusters are named: sheet, suggestions, one key for a decision, and on to the next.

import { decide, redo, undo } from "./decisions.js";
import { announce, button, byId, count, element, isControl, painted, takesText, travels } from "./dom.js";
import { announceCluster, chosen, clearChips, cycleChip, showChips, showFacts, showHead } from "./facts.js";
import { createGrouping } from "./grouping.js";
import { createLabelBox } from "./labelbox.js";
import { createSheet } from "./sheet.js";
import { nameOf, onChange, store } from "./store.js";
import { forget, refreshDetails, sheetOf } from "./tiles.js";
import * as trail from "./trail.js";
import { openViewer } from "./viewer.js";

const NUM_AHEAD = 4;
const SETTLED_MILLISECONDS = 600; // after this long on the screen, suggestions no longer change under the reader's fingers

let pressed = 0; // when the key was pressed that led to the sheet to come
let shownAt = 0;
let visible = false;
let showing = null; // id whose sheet is on the screen

const sheet = createSheet(byId("sheet"), (position, all) => openViewer(position, all, { closed: repaint }));
const box = createLabelBox({
  label: "Label of this cluster",
  placeholder: "Type a label, or take a suggestion",
  empty: "No suggestion",
  onChoose: (option) => nameCluster(option.label, option.source, option),
});
const grouping = createGrouping({ root: byId("rows"), onLeave: leaveGrouping, onSplit: splitCluster, focus: () => box.focus() });

// ---- Showing -------------------------------------------------------------------------------------------------------

async function show(id) {
  grouping.leave();
  clearChips();
  if (id === null) return showNothing();
  byId("view-name").classList.remove("done");
  const row = store.clusters.get(id);
  showHead(row);
  box.clear();
  if (visible) history.replaceState(null, "", `#name/${id}`);
  const entry = sheetOf(id);
  if (entry.value) place(id, entry.value);
  else {
    byId("sheet").classList.add("waiting");
    box.suggest([]);
    try {
      const value = await entry.promise;
      if (trail.current() === id) place(id, value);
    } catch (error) {
      byId("sheet").classList.remove("waiting");
      if (error.status === 404) { // split elsewhere
        store.clusters.delete(id);
        return goOn();
      }
      announce(error.status ? error.message : "The server does not answer. The sheet comes when it does.");
      if (!error.status) setTimeout(() => trail.current() === id && showing !== id && show(id), 2000);
      return undefined;
    }
  }
  if (visible) box.focus();
  prefetch();
  return undefined;
}

function place(id, value) {
  for (const [position, label] of Object.entries(value.details.corrections)) store.corrections.set(Number(position), label);
  byId("sheet").classList.remove("waiting");
  sheet.show(value);
  showDetails(value.details);
  showing = id;
  shownAt = performance.now();
  const began = pressed;
  pressed = 0;
  painted().then(() => {
    if (began) performance.measure("next cluster", { start: began, end: performance.now() });
  });
  announceCluster(value.details);
}

/** What is known of the cluster besides its pictures. */
function showDetails(details) {
  const row = store.clusters.get(details.id);
  if (!row) return;
  showFacts(row, details);
  if (grouping.mode !== "split") box.suggest(details.suggestions);
  const group = details.group.filter((other) => store.clusters.get(other.id)?.label === null || other.id === details.id);
  const groupButton = byId("action-group");
  groupButton.disabled = group.length < 2;
  groupButton.firstChild.textContent = group.length < 2 ? "Group" : `Group of ${group.length}`;
  showChips();
}

function showNothing() {
  showing = null;
  byId("view-name").classList.add("done");
  byId("cluster-title").textContent = "Every cluster is decided";
  byId("cluster-label").hidden = true;
  byId("cluster-place").textContent = "";
  byId("cluster-facts").replaceChildren(
    element("a", { href: "#progress", className: "button" }, "See what comes next"),
    element("span", { className: "fine" }, "Choose All to look at decided clusters again."));
  box.suggest([]);
  announce("Every cluster is decided.");
}

function prefetch() {
  for (const id of trail.upcoming(NUM_AHEAD)) sheetOf(id).promise.catch(() => {});
}

function repaint() {
  const value = showing === null ? null : sheetOf(showing).value;
  if (value) sheet.show(value);
}

// ---- Deciding ------------------------------------------------------------------------------------------------------

const seconds = () => (shownAt ? Math.min(86_400, (performance.now() - shownAt) / 1000) : null);

function nameCluster(label, source, { view = "", laterality = "" } = {}) {
  const id = trail.current();
  if (id === null || showing !== id) {
    announce("The sheet is not here yet.");
    return false; // what was not seen is not named
  }
  const inGroup = grouping.mode === "group";
  const clusters = inGroup ? grouping.left() : [id];
  if (!clusters.length) {
    announce("No cluster is left in the group.");
    return false;
  }
  decide({
    action: "name", clusters, label, note: "",
    // What the tags of one cluster say of view and side need not hold for the others of a group.
    view: chosen.view || (source === "suggestion" && !inGroup ? view : "") || "",
    laterality: chosen.laterality || (source === "suggestion" && !inGroup ? laterality : "") || "",
    source: inGroup ? "group" : source, seconds: seconds(), shown: inGroup ? grouping.numShown() : sheet.numShown(),
    taken_out: inGroup ? grouping.numOut() : 0,
  });
  announce(`${clusters.length > 1 ? count(clusters.length, "cluster") : `Cluster ${clusters[0]}`}: ${nameOf(label)}`);
  goOn();
  return true;
}

function same() {
  if (!store.last?.label) return announce("There is no last label yet.");
  chosen.view ||= store.last.view ?? "";
  chosen.laterality ||= store.last.laterality ?? "";
  return nameCluster(store.last.label, "same");
}

function goOn() {
  return show(trail.next());
}

function goBack() {
  const id = trail.back();
  if (id === null) announce("This is the first.");
  else show(id);
}

function skip() {
  announce("Skipped. It comes back at the end.");
  goOn();
}

async function splitCluster(parts) {
  const id = trail.current();
  grouping.leave();
  announce(`Splitting into ${parts} …`);
  const answer = await Promise.race([
    decide({ action: "split", clusters: [id], parts, seconds: seconds(), shown: sheet.numShown() }),
    new Promise((resolve) => setTimeout(resolve, 3000, "later")),
  ]);
  if (answer === "later") return trail.current() === id && goOn();
  if (!answer) return repaint();
  forget(id);
  trail.goThrough(answer.opened);
  announce(`Cluster ${id} is now ${answer.opened.join(", ")}.`);
  return show(trail.current());
}

/** Take back or repeat a decision, and go to the cluster concerned. */
async function travel(step, words) {
  const clusters = await step();
  if (!clusters) return;
  announce(words);
  for (const id of clusters) forget(id);
  const [id] = clusters.filter((other) => store.clusters.has(other));
  if (id === undefined) return repaint();
  showing = null;
  if (visible) {
    trail.goTo(id);
    show(id);
  }
}

function leaveGrouping() {
  byId("sheet").hidden = false;
  byId("rows").hidden = true;
  byId("view-name").dataset.mode = "";
  if (showing !== null) sheet.fit();
}

function enter(mode) {
  const value = showing === null ? null : sheetOf(showing).value;
  if (!value) return;
  const { details } = value;
  if (mode === "group") {
    const group = details.group.filter((other) => other.id === details.id || store.clusters.get(other.id)?.label === null);
    if (group.length < 2) return announce("No other undecided cluster is likely to bear the same label.");
    grouping.enterGroup(group);
  } else grouping.enterSplit(details.id, store.clusters.get(details.id).size);
  byId("sheet").hidden = true;
  byId("rows").hidden = false;
  byId("view-name").dataset.mode = mode;
}

// ---- Keys ----------------------------------------------------------------------------------------------------------

const ACTIONS = [
  ["skip", "Skip", "Space", skip],
  ["same", "Same as last", "=", same],
  ["discard", "Discard", "Del", () => nameCluster("discard", "typed")],
  ["mixed", "Mixed", "-", () => nameCluster("mixed", "typed")],
  ["split", "Split", "/", () => enter("split")],
  ["group", "Group", "+", () => enter("group")],
  ["undo", "Undo", "Ctrl+Z", () => travel(undo, "Taken back.")],
  ["redo", "Redo", "Ctrl+Y", () => travel(redo, "Done again.")],
];
const KEYS = {
  " ": skip, "=": same, Delete: ACTIONS[2][3], "-": ACTIONS[3][3], "/": ACTIONS[4][3], "+": ACTIONS[5][3],
  ArrowRight: goOn, ArrowLeft: goBack, "[": () => cycleChip("view"), "]": () => cycleChip("laterality"),
};

function handleKey(event) {
  const { target } = event;
  if (takesText(target) && target !== box.input) return;
  const again = travels(event);
  if (again !== null) {
    if (!box.isEmpty()) return; // the text is taken back
    event.preventDefault();
    travel(again ? redo : undo, again ? "Done again." : "Taken back.");
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (isControl(target) && [" ", "Enter", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(event.key)) return;
  pressed = event.timeStamp;
  if (grouping.mode && box.isEmpty() && grouping.handleKey(event)) return;
  if (box.handleKey(event)) return;
  const act = KEYS[event.key];
  if (act && box.isEmpty()) {
    event.preventDefault();
    act();
  } else {
    pressed = 0;
    if (event.key.length === 1 && target !== box.input) box.input.focus();
  }
}

// ---- The view ------------------------------------------------------------------------------------------------------

export function startNaming() {
  byId("name-box").append(box.root, element("p", { className: "near", id: "name-near" }));
  byId("actions").replaceChildren(...ACTIONS.map(([name, text, shortcut, act]) => {
    const made = button(text, shortcut, (event) => {
      pressed = event.timeStamp;
      act();
      if (!grouping.mode) box.focus();
    });
    made.id = `action-${name}`;
    return made;
  }));
  byId("go-next").addEventListener("click", goOn);
  byId("go-back").addEventListener("click", goBack);
  for (const name of ["order", "show"]) {
    byId(name).addEventListener("change", (event) => {
      trail.choice[name] = event.target.value;
      trail.restart();
      goOn();
    });
  }
  byId("jump").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = Number(byId("jump-to").value);
    if (byId("jump-to").value && store.clusters.has(id)) {
      trail.goTo(id);
      show(id);
    } else announce(`There is no cluster ${byId("jump-to").value}.`);
    byId("jump-to").value = "";
  });
  let named = "";
  onChange(() => {
    const id = trail.current();
    const row = id === null ? null : store.clusters.get(id);
    if (id !== null && !row && showing === id) return goOn(); // split or undone elsewhere
    if (row) showHead(row);
    const state = store.number;
    if (row && state !== named && showing === id && !grouping.mode && box.isEmpty()) {
      named = state;
      refreshDetails(id).then((value) => {
        const fresh = performance.now() - shownAt < SETTLED_MILLISECONDS;
        if (value && fresh && trail.current() === id && box.isEmpty() && !grouping.mode) showDetails(value.details);
      }, () => {});
    }
    if (id === null && visible && store.clusters.size && trail.upcoming(1).length) goOn();
    return undefined;
  });
}

export const naming = {
  handleKey,
  enter(argument) {
    visible = true;
    const id = argument ? Number(argument) : trail.current();
    if (id !== null && store.clusters.has(id)) {
      trail.goTo(id);
      if (showing === id) {
        history.replaceState(null, "", `#name/${id}`);
        sheet.fit();
        repaint();
        box.focus();
      } else show(id);
    } else goOn();
  },
  leave() {
    visible = false;
  },
};
