// The second reading: another reader names a part of the clusters without knowing their labels.

import { get } from "./client.js";
import { decide, redo, undo } from "./decisions.js";
import { announce, byId, element, number, percent } from "./dom.js";
import { keysOf, showActions } from "./keys.js";
import { createLabelBox } from "./labelbox.js";
import { createSheet } from "./sheet.js";
import { nameOf, store } from "./store.js";
import { sheetOf } from "./tiles.js";
import { openViewer } from "./viewer.js";

let list = [];
let at = 0;
let done = 0;
let total = 0;
let visible = false;
let shownAt = 0;

const sheet = createSheet(byId("reading-sheet"), (position, all) => openViewer(position, all, { blind: true }));
const box = createLabelBox({
  label: "What does this cluster show?",
  placeholder: "Type a label",
  digits: false,
  onChoose: ({ label }) => read(label),
});

async function load() {
  try {
    const [found, result] = await Promise.all([get(`second-reading?reader=${encodeURIComponent(store.reader)}`), get("agreement")]);
    list = found.clusters;
    done = found.done;
    total = found.total;
    at = 0;
    showAgreement(result.pairs);
    await show();
  } catch {
    byId("reading-place").textContent = "The server does not answer.";
    setTimeout(() => visible && load(), 3000);
  }
}

async function show() {
  const id = list[at];
  byId("reading-place").textContent = total ? `${number(done)} of ${number(total)} read` : "";
  box.clear();
  byId("reading-sheet").hidden = id === undefined;
  byId("reading-empty").hidden = id !== undefined;
  if (id === undefined) {
    byId("reading-title").textContent = total ? "Everything is read" : "Second reading";
    byId("reading-empty").textContent = total ? "You have read every cluster that was drawn for you. Thank you."
      : "There is nothing to read yet. When another reader has named clusters, a part of them is shown here, without their labels.";
    return;
  }
  byId("reading-title").textContent = "Second reading";
  const value = await sheetOf(id).promise;
  if (list[at] !== id) return;
  sheet.show(value);
  shownAt = performance.now();
  if (visible) box.focus();
  for (const next of list.slice(at + 1, at + 4)) sheetOf(next).promise.catch(() => {});
}

function read(label) {
  const id = list[at];
  if (id === undefined) return;
  decide({
    action: "second_reading", clusters: [id], label,
    seconds: (performance.now() - shownAt) / 1000, shown: sheet.numShown(),
  }).then((answer) => answer && visible && get("agreement").then((result) => showAgreement(result.pairs), () => {}));
  list.splice(at, 1);
  done += 1;
  if (at >= list.length) at = 0;
  announce(`Read as ${nameOf(label)}.`);
  show();
}

function step(by) {
  if (!list.length) return;
  at = (at + by + list.length) % list.length;
  show();
}

function showAgreement(pairs) {
  const lines = pairs.map((pair) =>
    element("section", { className: "pair" },
      element("h3", {}, `${pair.first} and ${pair.second}`),
      element("dl", { className: "facts" },
        element("dt", {}, "Clusters read by both"), element("dd", {}, number(pair.clusters)),
        element("dt", {}, "Agree"), element("dd", {}, `${number(pair.agree)} (${percent(pair.clusters ? pair.agree / pair.clusters : 0)})`),
        element("dt", {}, "Cohen’s kappa"), element("dd", {}, pair.kappa === null ? "not defined" : pair.kappa.toFixed(2))),
      pair.disagreements.length ? element("ul", { className: "reasons" }, ...pair.disagreements.map((one) =>
        element("li", {}, element("a", { href: `#name/${one.id}` }, `Cluster ${one.id}`),
          `: ${nameOf(one.first)} (${pair.first}), ${nameOf(one.second)} (${pair.second})`))) : null));
  byId("agreement").replaceChildren(
    element("h3", { className: "list-heading" }, "Agreement"),
    ...(lines.length ? lines : [element("p", { className: "fine" }, "No cluster has been read twice yet.")]));
}

const ACTIONS = [
  ["Discard", "Del", () => read("discard")],
  ["Mixed", "-", () => read("mixed")],
  ["Skip", "Space", () => step(1)],
  ["Back", "←", () => step(-1)],
];
const KEYS = { Delete: ACTIONS[0][2], "-": ACTIONS[1][2], " ": ACTIONS[2][2], ArrowRight: ACTIONS[2][2], ArrowLeft: ACTIONS[3][2] };

const handleKey = keysOf({
  box, keys: KEYS, travel: (again) => (again ? redo : undo)().then((clusters) => {
    if (!clusters) return;
    announce(again ? "Done again." : "Taken back.");
    load();
  }),
});

export function startReading() {
  byId("reading-box").append(box.root);
  showActions(byId("reading-actions"), ACTIONS, box);
}

export const reading = {
  handleKey,
  enter() {
    visible = true;
    history.replaceState(null, "", "#reading");
    load();
  },
  leave() {
    visible = false;
  },
};
