// The audit: radiographs most likely in the wrong cluster, one key each. Those of one cluster that may have the same
// alternative come together; a click takes one out.

import { get } from "./client.js";
import { decide, redo, undo } from "./decisions.js";
import { announce, byId, element, number, percent } from "./dom.js";
import { keysOf, showActions } from "./keys.js";
import { createLabelBox } from "./labelbox.js";
import { createPicture } from "./picture.js";
import { labelsInUse, nameOf, store } from "./store.js";
import { createTile, sheetOf, sprite } from "./tiles.js";
import { openViewer } from "./viewer.js";

const LIMIT = 60;
const NUM_TYPICAL = 3;

let items = [];
let tiles = null;
let at = 0;
let visible = false;
let shownAt = 0;
let loading = false;
const done = { moved: 0, confirmed: 0 };
const answered = new Map(); // position -> label given here
const out = new Set(); // positions taken out of those shown together

const picture = createPicture(byId("audit-picture"), byId("audit-stage"));
const box = createLabelBox({
  label: "Or another label",
  placeholder: "Type a label",
  onChoose: ({ label }) => answer(label),
});

async function load() {
  if (loading) return;
  loading = true;
  try {
    const found = await get(`audit?limit=${LIMIT}`);
    if (!found.ready) {
      showNothing("Looking for radiographs that do not fit …", "This takes a moment after the start.");
      setTimeout(() => visible && load(), 2000);
      return;
    }
    items = found.items.filter((item) => !answered.has(item.position));
    at = 0;
    tiles?.close();
    tiles = items.length ? await sprite(items.map((item) => item.position)) : null;
    showStrip();
    show();
  } catch {
    showNothing("The server does not answer.", "The audit comes when it does.");
    setTimeout(() => visible && load(), 3000);
  } finally {
    loading = false;
  }
}

function showNothing(title, text) {
  byId("audit-picture").hidden = true;
  byId("audit-strip").replaceChildren();
  byId("audit-note").textContent = title;
  byId("audit-question").replaceChildren(element("h3", {}, title), element("p", { className: "fine" }, text));
  box.suggest([]);
}

function showStrip() {
  byId("audit-strip").replaceChildren(...items.map((item, index) => {
    const made = createTile(() => { at = index; show(); });
    made.show(item.position, tiles, index, `in ${nameOf(item.label)}, perhaps ${nameOf(item.alternative)}`);
    made.tile.tabIndex = -1; // the strip is one stop; arrows go through it
    made.tile.addEventListener("mousedown", (event) => event.preventDefault());
    return made.tile;
  }));
}

async function show() {
  const item = items[at];
  const left = items.filter((one) => !answered.has(one.position)).length;
  byId("audit-place").textContent = items.length
    ? `${number(left)} to look at · ${number(done.moved)} moved · ${number(done.confirmed)} confirmed` : "";
  if (!item) {
    return showNothing(
      done.moved + done.confirmed ? "That was the last of them." : "Nothing stands out.",
      items.length || done.moved + done.confirmed ? "Look again after more clusters are named." : "Name some clusters first; the audit compares them.");
  }
  byId("audit-picture").hidden = false;
  shownAt = performance.now();
  [...byId("audit-strip").children].forEach((tile, index) => {
    tile.classList.toggle("here", index === at);
    tile.classList.toggle("answered", answered.has(items[index].position));
    if (index === at) tile.scrollIntoView({ block: "nearest", inline: "center" });
  });
  const given = answered.get(item.position);
  byId("audit-question").replaceChildren(
    element("h3", {}, `Is this ${nameOf(item.label)}, or ${nameOf(item.alternative)}?`),
    element("p", {}, "It lies in ", element("a", { href: `#name/${item.cluster_id}` }, `cluster ${item.cluster_id}`),
      `, called ${nameOf(item.label)}.`, given ? ` You said: ${nameOf(given)}.` : ""),
    element("p", { className: "list-heading" }, `Why it stands out (${percent(item.score)})`),
    element("ul", { className: "reasons" }, ...item.reasons.map((reason) => element("li", {}, reason))),
    companions, looks);
  out.clear();
  showCompanions(item);
  showLooks(item);
  box.clear();
  suggest(item);
  byId("audit-note").textContent = "";
  if (visible) box.focus();
  announce(`${nameOf(item.label)}, or ${nameOf(item.alternative)}?`, { quiet: true });
  try {
    const what = await picture.load(item.position);
    if (what === "tile") byId("audit-note").textContent = "The file itself is out of reach. This is its tile, enlarged.";
  } catch {
    byId("audit-note").textContent = "The server does not answer.";
  }
  return undefined;
}

const left = (item) => item.together.filter((position) => !out.has(position));

function suggest(item) {
  const moved = left(item).length;
  box.suggest([
    { label: item.alternative, sources: [`the alternative: move ${moved > 1 ? `all ${moved}` : "it"} out`] },
    { label: item.label, sources: ["the cluster's label: confirm it (also Space)"] },
  ]);
}

// Other suspects of the cluster with the same alternative.

const companions = element("div", { className: "companions" });

async function showCompanions(item) {
  companions.replaceChildren();
  const others = item.together.filter((position) => position !== item.position);
  if (!others.length) return;
  const made = others.map((position) => createTile(() => {
    const { tile } = made[others.indexOf(position)];
    const isOut = !out.delete(position);
    if (isOut) out.add(position);
    tile.classList.toggle("out", isOut);
    tile.setAttribute("aria-pressed", String(!isOut));
    suggest(item);
    announce(`${left(item).length} of ${item.together.length} are in.`);
    box.focus();
  }));
  companions.append(
    element("p", { className: "list-heading" }, `With it ${others.length} more, for the same label. A click takes one out.`),
    element("div", {}, ...made.map(({ tile }) => tile)));
  const shown = await sprite(others);
  if (items[at] === item) {
    made.forEach((one, index) => {
      one.show(others[index], shown, index, `perhaps ${nameOf(item.alternative)}`);
      one.tile.setAttribute("aria-pressed", "true");
    });
  }
  shown.close();
}

// What the two labels look like elsewhere: the most typical radiographs of the cluster, and of the alternative's largest.

const looks = element("div", { className: "looks" });
const typical = [0, 1].map(() => Array.from({ length: NUM_TYPICAL }, () => createTile((position) => openViewer(position, [position]))));
const titles = [element("p", {}), element("p", {})];
looks.append(...titles, ...typical.map((row) => element("div", {}, ...row.map(({ tile }) => tile))));

async function showLooks(item) {
  const largest = labelsInUse().find((line) => line.label === item.alternative)?.ids
    .reduce((best, id) => (store.clusters.get(id).size > store.clusters.get(best).size ? id : best));
  titles[0].textContent = `Typical of cluster ${item.cluster_id}`;
  titles[1].textContent = largest === undefined ? "" : `Typical of ${nameOf(item.alternative)}`;
  for (const { hide } of typical.flat()) hide();
  for (const [row, id] of [item.cluster_id, largest].entries()) {
    if (id === undefined) continue;
    sheetOf(id).promise.then((sheet) => {
      if (items[at] !== item) return;
      const first = sheet.details.random.length; // the nearest follow the random ones
      sheet.details.nearest.slice(0, NUM_TYPICAL).forEach((position, index) => typical[row][index].show(position, sheet.tiles, first + index, "typical"));
    }, () => {});
  }
}

function answer(label) {
  const item = items[at];
  if (!item) return;
  const radiographs = label === item.alternative ? left(item) : [item.position];
  decide({
    action: "correct", radiographs, label, view: "", laterality: "", source: "audit",
    seconds: (performance.now() - shownAt) / 1000, shown: item.together.length, taken_out: out.size,
  });
  for (const position of radiographs) answered.set(position, label);
  if (label === item.label) done.confirmed += 1;
  else done.moved += radiographs.length;
  announce(label === item.label ? `${nameOf(label)} confirmed.` : `${radiographs.length} moved to ${nameOf(label)}.`);
  step(1);
}

/** To the next that is not answered; after the last, those that were skipped. */
function step(by) {
  for (let tried = 1; tried <= items.length; tried += 1) {
    const index = (at + by * tried + items.length * items.length) % items.length;
    if (!answered.has(items[index].position)) {
      at = index;
      return show();
    }
  }
  at = items.length;
  load();
  return show();
}

async function travel(act, words) {
  const before = new Map(store.corrections);
  const result = await act();
  if (!result) return;
  for (const [position, label] of before) {
    if (store.corrections.has(position) || !answered.has(position)) continue;
    const index = items.findIndex((item) => item.position === position);
    answered.delete(position);
    if (items[index]?.label === label) done.confirmed -= 1;
    else done.moved -= 1;
    if (index >= 0) at = index;
  }
  announce(words);
  show();
}

const item = () => items[at];
const ACTIONS = [
  ["Confirm", "Space", () => item() && answer(item().label)],
  ["Discard", "Del", () => answer("discard")],
  ["Leave out", "-", () => answer("mixed")],
  ["Skip", "→", () => step(1)],
  ["Back", "←", () => at > 0 && ((at -= 1), show())],
  ["Undo", "Ctrl+Z", () => travel(undo, "Taken back.")],
];
const KEYS = {
  " ": ACTIONS[0][2], Delete: ACTIONS[1][2], "-": ACTIONS[2][2], ArrowRight: ACTIONS[3][2], ArrowLeft: ACTIONS[4][2],
};

const handleKey = keysOf({
  box, keys: KEYS, travel: (again) => travel(again ? redo : undo, again ? "Done again." : "Taken back."),
});

export function startAudit() {
  byId("audit-box").append(box.root);
  showActions(byId("audit-actions"), ACTIONS, box);
}

export const audit = {
  handleKey,
  enter() {
    visible = true;
    history.replaceState(null, "", "#audit");
    if (item() && !answered.has(item().position)) show();
    else load();
  },
  leave() {
    visible = false;
  },
};
