// One radiograph, large: window and level, facts, and moving it out of its cluster.

import { get } from "./client.js";
import { decide } from "./decisions.js";
import { announce, button, byId, element, number, takesText } from "./dom.js";
import { createLabelBox } from "./labelbox.js";
import { createPicture } from "./picture.js";
import { nameOf, store } from "./store.js";

const dialog = byId("viewer");
let all = [];
let at = 0;
let onClosed = () => {};
let openedAt = 0;
let blind = false; // in a second reading nothing may tell the label

const picture = createPicture(byId("viewer-picture"), byId("viewer-stage"), {
  onWindow: ({ centre, width }) => {
    byId("viewer-window").textContent = `Window ${Math.round((100 * width) / 65_535)} %, level ${Math.round((100 * centre) / 65_535)} %`;
  },
});
const box = createLabelBox({
  label: "Move this radiograph out to",
  placeholder: "Type a label",
  digits: false,
  onChoose: ({ label }) => moveOut(label),
});

/** Show a radiograph; `positions` are those that the arrows go through, `blind` keeps back what is known of it. */
export function openViewer(position, positions, { closed = () => {}, blind: hidden = false } = {}) {
  blind = hidden;
  box.root.hidden = blind;
  all = positions;
  at = Math.max(0, positions.indexOf(position));
  onClosed = closed;
  if (!dialog.open) dialog.showModal();
  show();
}

async function show() {
  const position = all[at];
  openedAt = performance.now();
  box.clear();
  byId("viewer-title").textContent = `Radiograph ${position}`;
  byId("viewer-note").textContent = "";
  byId("viewer-close").focus();
  showFacts(position);
  try {
    const what = await picture.load(position);
    if (what === "tile") byId("viewer-note").textContent = "The file itself is out of reach. This is its tile, enlarged.";
    if (what === "tile") byId("viewer-window").textContent = "";
  } catch {
    byId("viewer-note").textContent = "The server does not answer.";
  }
}

async function showFacts(position) {
  const lines = [["Of this sheet", `${at + 1} of ${all.length}`]];
  const write = () =>
    byId("viewer-facts").replaceChildren(...lines.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  write();
  if (blind) return;
  try {
    const facts = await get(`radiographs/${position}`);
    if (all[at] !== position) return;
    const moved = store.corrections.get(position) ?? facts.correction;
    const label = store.clusters.get(facts.cluster_id)?.label ?? facts.label;
    lines.push(["Name", facts.name], ["Cluster", `${facts.cluster_id}${label ? `, ${nameOf(label)}` : ", undecided"}`]);
    if (moved) lines.push(["Moved out to", nameOf(moved)]);
    lines.push(["Similarity to the centre", facts.similarity.toFixed(2)],
      ["Pixels", `${number(facts.columns)} × ${number(facts.rows)}, ${facts.format}`]);
    for (const [name, value] of Object.entries(facts.attributes)) if (value) lines.push([name.replaceAll("_", " "), value]);
    write();
  } catch {
    // the picture says so
  }
}

function moveOut(label) {
  const position = all[at];
  decide({
    action: "correct", radiographs: [position], label, view: "", laterality: "", source: "sheet",
    seconds: (performance.now() - openedAt) / 1000, shown: 1,
  });
  announce(`Radiograph ${position}: ${nameOf(label)}`);
  if (at + 1 < all.length) step(1);
  else dialog.close();
}

function step(by) {
  if (!all.length) return;
  at = (at + by + all.length) % all.length;
  show();
}

const KEYS = {
  ArrowRight: () => step(1), ArrowDown: () => step(1), ArrowLeft: () => step(-1), ArrowUp: () => step(-1),
  r: () => picture.reset(), i: () => picture.invert(), m: () => blind || box.input.focus(),
  "+": () => picture.zoomBy(1.25), "=": () => picture.zoomBy(1.25), "-": () => picture.zoomBy(0.8),
};

dialog.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target === box.input && (event.key !== "Escape" || !box.isEmpty())) {
    if (box.isEmpty() && (event.key === "ArrowLeft" || event.key === "ArrowRight")) KEYS[event.key]();
    else if (event.key !== "Enter" || !box.isEmpty()) box.handleKey(event);
    return;
  }
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (act && !takesText(event.target)) {
    event.preventDefault();
    act();
  }
});
dialog.addEventListener("close", () => {
  onClosed();
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // beside the dialog
});
byId("viewer-close").addEventListener("click", () => dialog.close());
byId("viewer-box").append(box.root);
byId("viewer-actions").replaceChildren(
  button("Previous", "←", () => step(-1)),
  button("Next", "→", () => step(1)),
  button("Larger", "+", () => picture.zoomBy(1.25)),
  button("Smaller", "-", () => picture.zoomBy(0.8)),
  button("Invert", "I", () => picture.invert()),
  button("Reset", "R", () => picture.reset()),
  button("Move out", "M", () => blind || box.input.focus()),
  element("p", { className: "fine", id: "viewer-window" }),
  element("p", { className: "fine" }, "Drag: window (across) and level (up and down). Shift and drag moves, the wheel enlarges."),
);
