// The map: every radiograph a point, every cluster a bubble; what lies together is selected and named together.

import { get, getBytes } from "./client.js";
import { css, colourOf, onTheme } from "./colours.js";
import { decide, redo, undo } from "./decisions.js";
import { announce, button, byId, count, element, isControl, number, painted, takesText, travels } from "./dom.js";
import { createLabelBox } from "./labelbox.js";
import { createPlot } from "./plot.js";
import { coverage, labelsInUse, nameOf, onChange, store } from "./store.js";
import { createTile, sheetOf } from "./tiles.js";
import { openViewer } from "./viewer.js";

const canvas = byId("map-canvas");
const plot = createPlot(canvas);
const { picked } = plot;
let visible = false;
let layout = "pca";
let laidOutFor = "";
let points = null;
let tool = "pan";
let pickedAt = 0;

const box = createLabelBox({
  label: "Label of the selected clusters",
  marked: false, // many clusters at once: a word or a number names them, Enter alone does not
  onChoose: ({ label }) => name(label),
});

// ---- Loading -------------------------------------------------------------------------------------------------------

async function load() {
  const began = performance.now();
  const wanted = layout;
  const shape = `${wanted} ${[...store.clusters.keys()].join()}`;
  if (shape !== laidOutFor) {
    byId("map-count").textContent = wanted === "tsne" ? "Laying out, this may take some seconds …" : "Laying out …";
    const [answer, bytes] = await Promise.all([get(`map?layout=${wanted}`), getBytes("map/points")]);
    if (wanted !== layout) return;
    const total = bytes.byteLength / 8;
    points = { xy: new Uint16Array(bytes, 0, 2 * total), ids: new Int32Array(bytes, 4 * total) };
    plot.bubbles = answer.clusters;
    plot.points = wanted === "pca" ? points : null; // single radiographs are laid out by PCA alone
    laidOutFor = shape;
  }
  plot.draw();
  await painted();
  performance.measure("map", { start: began, end: performance.now() });
}

// ---- Selecting -----------------------------------------------------------------------------------------------------

function pick(ids, add) {
  if (!add) picked.clear();
  for (const id of ids) picked.add(id);
  showPicked();
}

function toggle(id) {
  if (picked.has(id)) picked.delete(id);
  else picked.add(id);
  showPicked();
}

function showPicked() {
  if (!pickedAt) pickedAt = performance.now();
  const rows = [...picked].map((id) => store.clusters.get(id)).filter(Boolean);
  const radiographs = rows.reduce((sum, row) => sum + row.size, 0);
  const named = rows.filter((row) => row.label !== null).length;
  byId("map-picked").replaceChildren(
    element("p", {}, rows.length
      ? `${count(rows.length, "cluster")} selected, ${count(radiographs, "radiograph")}${named ? `; ${named} named already` : ""}`
      : "Nothing is selected. Click a bubble, draw around several, or use arrows and Space."));
  const votes = new Map();
  for (const row of rows) {
    if (row.suggestion) votes.set(row.suggestion.label, [...(votes.get(row.suggestion.label) ?? []), row.suggestion.confidence]);
  }
  box.suggest([...votes].sort((a, b) => b[1].length - a[1].length).slice(0, 5).map(([label, sure]) => ({
    label, confidence: sure.reduce((sum, value) => sum + value, 0) / rows.length,
    sources: [`suggested for ${sure.length} of ${count(rows.length, "cluster")}`],
  })));
  for (const id of ["map-clear", "map-open"]) byId(id).disabled = rows.length === 0;
  byId("map-undecided").disabled = named === 0;
  if (rows.length) announce(`${count(rows.length, "cluster")} selected.`, { quiet: true });
  plot.draw();
}

function name(label) {
  const clusters = [...picked].filter((id) => store.clusters.has(id));
  if (!clusters.length) return announce("Nothing is selected.");
  decide({
    action: "name", clusters, label, view: "", laterality: "", note: "", source: "map",
    seconds: (performance.now() - pickedAt) / 1000, shown: 0,
  });
  picked.clear();
  pickedAt = 0;
  showPicked();
  return announce(`${count(clusters.length, "cluster")}: ${nameOf(label)}`);
}

// ---- The card of a cluster -----------------------------------------------------------------------------------------

const tiles = Array.from({ length: 6 }, () => createTile((position) => openViewer(position, [position])));
let waiting = 0;

function hover(id) {
  if (id === plot.here) return;
  plot.here = id;
  plot.draw();
  clearTimeout(waiting);
  const card = byId("map-card");
  if (id === null) {
    card.hidden = true;
    return;
  }
  const bubble = plot.bubbles.find((other) => other.id === id);
  const row = store.clusters.get(id);
  const words = element("p", {}, element("strong", {}, `Cluster ${id}`),
    ` ${row.label === null ? "undecided" : nameOf(row.label)}, ${count(row.size, "radiograph")}`);
  const grid = element("div", { className: "card-tiles" }, ...tiles.map(({ tile }) => tile));
  tiles.forEach((tile) => tile.hide());
  card.replaceChildren(words, grid);
  card.hidden = false;
  const [x, y] = plot.toScreen(bubble);
  const right = x > canvas.clientWidth / 2;
  const beside = plot.radius(id) + 14;
  card.style.left = `${Math.max(8, right ? x - beside - card.offsetWidth : x + beside)}px`;
  card.style.top = `${Math.min(Math.max(8, y - 90), Math.max(8, canvas.clientHeight - 190))}px`;
  waiting = setTimeout(async () => {
    try {
      const sheet = await sheetOf(id).promise;
      if (plot.here !== id) return;
      sheet.details.random.slice(0, 6).forEach((position, index) => tiles[index].show(position, sheet.tiles, index, "random"));
    } catch {
      // the words are there
    }
  }, 90);
}

// ---- Pointer and keys ----------------------------------------------------------------------------------------------

let from = null; // {x, y, moved, look, path, lasso} while a button is down

function outlineOf({ path, lasso }) {
  if (lasso) return path;
  const [[left, top], [right, bottom]] = [path[0], path.at(-1)];
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  const start = [event.offsetX, event.offsetY];
  from = {
    x: start[0], y: start[1], moved: false, look: plot.look(),
    path: tool !== "pan" || event.shiftKey ? [start] : null, lasso: tool !== "rectangle",
  };
});
canvas.addEventListener("pointermove", (event) => {
  if (!from) return hover(plot.at(event.offsetX, event.offsetY));
  const x = event.offsetX - from.x;
  const y = event.offsetY - from.y;
  from.moved ||= Math.hypot(x, y) > 4;
  if (!from.moved) return undefined;
  hover(null);
  if (!from.path) return plot.moveTo(from.look.x + x, from.look.y + y);
  from.path.push([event.offsetX, event.offsetY]);
  plot.outline = outlineOf(from);
  return plot.draw();
});
canvas.addEventListener("pointerup", (event) => {
  if (!from) return;
  const { moved, path } = from;
  from = plot.outline = null;
  if (!moved) click(plot.at(event.offsetX, event.offsetY), event.shiftKey);
  else if (path) pick(plot.within(outlineOf({ path, lasso: tool !== "rectangle" })), event.shiftKey);
  plot.draw();
});

function click(id, add) {
  if (id !== null && add) toggle(id);
  else if (id !== null) pick(picked.size === 1 && picked.has(id) ? [] : [id], false);
  else if (!add) pick([], false);
}

canvas.addEventListener("pointerleave", () => {
  if (!from) waiting = setTimeout(() => !byId("map-card").matches(":hover") && hover(null), 250);
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  hover(null);
  plot.zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY);
}, { passive: false });

const DIRECTIONS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

function zoomBy(factor) {
  hover(null);
  plot.zoomBy(factor);
}

/** To the nearest bubble in this direction: the way there counts, the way aside counts double. */
function walk([dx, dy]) {
  const start = plot.bubbles.find((one) => one.id === plot.here);
  const [x, y] = start ? plot.toScreen(start) : [canvas.clientWidth / 2, canvas.clientHeight / 2];
  let best = null;
  for (const bubble of plot.bubbles) {
    if (bubble.id === plot.here || !store.clusters.has(bubble.id)) continue;
    const [left, top] = plot.toScreen(bubble);
    const along = (left - x) * dx + (top - y) * dy;
    const aside = Math.abs((left - x) * dy) + Math.abs((top - y) * dx);
    if (along <= 0.5 || aside > 3 * along) continue;
    if (!best || along + 2 * aside < best.far) best = { id: bubble.id, far: along + 2 * aside, place: [left, top] };
  }
  if (!best) return announce("No cluster lies there.");
  plot.centre(best.place);
  hover(best.id);
  const row = store.clusters.get(best.id);
  return announce(`Cluster ${best.id}, ${row.label === null ? "undecided" : nameOf(row.label)}${picked.has(best.id) ? ", selected" : ""}`, { quiet: true });
}

const KEYS = {
  "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4), 0: () => plot.reset(),
  Escape: () => pick([], false), " ": () => plot.here !== null && toggle(plot.here),
  Delete: () => name("discard"),
};

function handleKey(event) {
  const { target } = event;
  if (takesText(target) && target !== box.input) return;
  const again = travels(event);
  if (again !== null && box.isEmpty()) {
    event.preventDefault();
    (again ? redo : undo)().then((clusters) => clusters && announce(again ? "Done again." : "Taken back."));
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (isControl(target) && [" ", "Enter"].includes(event.key)) return;
  if (target.matches?.("input[type=radio]") && DIRECTIONS[event.key]) return;
  const empty = box.isEmpty();
  if (empty && DIRECTIONS[event.key]) {
    event.preventDefault();
    walk(DIRECTIONS[event.key]);
  } else if (empty && KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  } else if (!box.handleKey(event) && event.key.length === 1 && target !== box.input) box.input.focus();
}

// ---- The view ------------------------------------------------------------------------------------------------------

function showLegend() {
  const lines = labelsInUse();
  byId("legend").replaceChildren(
    element("p", { className: "list-heading" }, "Legend"),
    element("ul", {}, ...lines.map((line) =>
      element("li", {},
        element("button", { type: "button", className: "legend-line", title: "Select its clusters", onclick: () => pick(line.ids, false) },
          element("i", { className: "swatch", style: { background: css(colourOf(line.label)) } }),
          element("span", {}, nameOf(line.label)), element("span", { className: "fine" }, number(line.clusters))))),
    element("li", { className: "legend-line" }, element("i", { className: "swatch hollow" }), element("span", {}, "Undecided"),
      element("span", { className: "fine" }, number(coverage().clusters - coverage().named)))));
}

export function startMap() {
  byId("map-box").append(box.root);
  byId("map-zoom").replaceChildren(
    button("Larger", "+", () => zoomBy(1.4), "button quiet small"), button("Smaller", "-", () => zoomBy(1 / 1.4), "button quiet small"),
    button("Whole", "0", plot.reset, "button quiet small"));
  const deselect = button("Deselect", "Esc", () => pick([], false));
  const open = button("Look closer", "", () => { location.hash = `#name/${[...picked][0]}`; });
  deselect.id = "map-clear";
  open.id = "map-open";
  const rest = button("Undecided only", "", () => pick([...picked].filter((id) => store.clusters.get(id)?.label === null), false));
  rest.id = "map-undecided";
  byId("map-actions").replaceChildren(deselect, open, rest);
  byId("layout").addEventListener("change", (event) => {
    layout = event.target.value;
    hover(null);
    plot.reset();
    load().then(showCount, () => announce("The server does not answer."));
  });
  byId("tool").addEventListener("change", (event) => {
    tool = event.target.value;
  });
  new ResizeObserver(plot.draw).observe(canvas);
  onTheme(() => {
    if (visible) showLegend();
    plot.draw();
  });
  onChange(() => {
    if (!visible) return;
    for (const id of picked) if (!store.clusters.has(id)) picked.delete(id);
    load().then(showCount, () => {});
    showLegend();
  });
}

const showCount = () => {
  byId("map-count").textContent = count(points?.ids.length ?? 0, "radiograph");
};

export const map = {
  handleKey,
  enter() {
    visible = true;
    history.replaceState(null, "", "#map");
    showPicked();
    showLegend();
    canvas.focus({ preventScroll: true });
    load().then(showCount, () => announce("The server does not answer."));
  },
  leave() {
    visible = false;
    hover(null);
  },
};
