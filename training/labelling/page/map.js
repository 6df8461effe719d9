// The map: every radiograph a point, every cluster a bubble; what lies together is selected and named together.

import { get, getBytes } from "./client.js";
import { css, colourOf, labelOfCluster, onTheme } from "./colours.js";
import { decide, redo, undo } from "./decisions.js";
import { announce, button, byId, count, element, isControl, number, painted, takesText } from "./dom.js";
import { createLabelBox } from "./labelbox.js";
import { coverage, labelsInUse, nameOf, onChange, store } from "./store.js";
import { createTile, sheetOf } from "./tiles.js";
import { openViewer } from "./viewer.js";

const MARGIN = 40;
const canvas = byId("map-canvas");
const context = canvas.getContext("2d");
let visible = false;
let layout = "pca";
let bubbles = []; // {id, x, y} in [0, 1]
let points = null; // {xy: Uint16Array, ids: Int32Array}
let laidOutFor = "";
let look = { zoom: 1, x: 0, y: 0 };
let here = null; // id under the pointer or the keyboard
let path = null; // of the rectangle or the lasso: [[x, y], ...]
let tool = "pan";
const picked = new Set();
let pickedAt = 0;
let cloud = null; // the points, drawn once for a look
let frame = 0;

const box = createLabelBox({
  label: "Label of the selected clusters",
  digits: false,
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
    bubbles = answer.clusters;
    const total = bytes.byteLength / 8;
    points = { xy: new Uint16Array(bytes, 0, 2 * total), ids: new Int32Array(bytes.slice(4 * total)) };
    laidOutFor = shape;
    cloud = null;
  }
  draw();
  await painted();
  performance.measure("map", { start: began, end: performance.now() });
}

// ---- Drawing -------------------------------------------------------------------------------------------------------

const scale = () => devicePixelRatio || 1;
const span = () => Math.min(canvas.clientWidth, canvas.clientHeight) - 2 * MARGIN;
const stretch = () => ({ x: canvas.clientWidth - 2 * MARGIN, y: canvas.clientHeight - 2 * MARGIN });

function toScreen({ x, y }) {
  const size = stretch();
  return [MARGIN + look.x + x * size.x * look.zoom, MARGIN + look.y + y * size.y * look.zoom];
}

function radius(id) {
  const { radiographs } = coverageOnce;
  const share = (store.clusters.get(id)?.size ?? 1) / radiographs;
  return Math.min(0.08 * span(), Math.max(3.5, span() * 0.42 * Math.sqrt(share))) * look.zoom ** 0.6;
}
let coverageOnce = { radiographs: 1 };

function draw() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    paint();
  });
}

function paint() {
  if (!visible || !canvas.clientWidth) return;
  coverageOnce = coverage();
  const ratio = scale();
  if (canvas.width !== Math.round(canvas.clientWidth * ratio) || canvas.height !== Math.round(canvas.clientHeight * ratio)) {
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    cloud = null;
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (points && layout === "pca") context.putImageData(drawCloud(), 0, 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const style = getComputedStyle(canvas);
  const soft = style.getPropertyValue("--soft");
  const ink = style.getPropertyValue("--ink");
  const panel = style.getPropertyValue("--panel");
  const accent = style.getPropertyValue("--accent");
  const words = [];
  for (const bubble of [...bubbles].sort((a, b) => radius(b.id) - radius(a.id))) {
    if (!store.clusters.has(bubble.id)) continue;
    const [x, y] = toScreen(bubble);
    const size = radius(bubble.id);
    if (x < -size || y < -size || x > canvas.clientWidth + size || y > canvas.clientHeight + size) continue;
    const label = labelOfCluster(bubble.id);
    const colour = colourOf(label);
    context.beginPath();
    context.arc(x, y, size, 0, 2 * Math.PI);
    context.fillStyle = colour ? css(colour, 0.86) : panel;
    context.globalAlpha = colour ? 1 : 0.72;
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = picked.has(bubble.id) ? 3 : 1;
    context.strokeStyle = picked.has(bubble.id) ? accent : colour ? panel : soft;
    context.globalAlpha = colour || picked.has(bubble.id) ? 1 : 0.6;
    context.stroke();
    context.globalAlpha = 1;
    if (picked.has(bubble.id)) ring(x, y, size + 4, accent, 1.5);
    if (bubble.id === here) ring(x, y, size + 3, ink, 2.5);
    if (size > 15) words.push({ x, y, size, text: label === null ? String(bubble.id) : nameOf(label) });
  }
  drawWords(words, ink, panel);
  if (path?.length > 1) drawPath(accent);
}

/** Names of the large bubbles, above all bubbles; where two would overlap the smaller one stays without. */
function drawWords(words, ink, panel) {
  const taken = [];
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  for (const { x, y, size, text } of words) {
    const height = size > 26 ? 13 : 11;
    context.font = `600 ${height}px system-ui, sans-serif`;
    const half = context.measureText(text).width / 2 + 2;
    if (half > 1.6 * size || taken.some((box) => Math.abs(box.x - x) < box.half + half && Math.abs(box.y - y) < height + 2)) continue;
    taken.push({ x, y, half });
    context.lineWidth = 3;
    context.strokeStyle = panel;
    context.strokeText(text, x, y);
    context.fillStyle = ink;
    context.fillText(text, x, y);
  }
}

function ring(x, y, size, colour, width) {
  context.beginPath();
  context.arc(x, y, size, 0, 2 * Math.PI);
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

function drawPath(accent) {
  context.beginPath();
  for (const [x, y] of outline()) context.lineTo(x, y);
  context.closePath();
  context.lineWidth = 1.5;
  context.strokeStyle = accent;
  context.stroke();
  context.globalAlpha = 0.12;
  context.fillStyle = accent;
  context.fill();
  context.globalAlpha = 1;
}

/** Every radiograph as a dot of two pixels, straight into an image: 42,608 of them take a few milliseconds. */
function drawCloud() {
  const key = [canvas.width, canvas.height, look.zoom, look.x, look.y, store.number, store.clusters.size].join();
  if (cloud?.key === key) return cloud.image;
  const image = new ImageData(canvas.width, canvas.height);
  const words = new Uint32Array(image.data.buffer);
  const ratio = scale();
  const size = stretch();
  const dot = Math.max(2, Math.round(1.5 * ratio));
  const colours = new Map();
  for (const id of store.clusters.keys()) {
    const [r, g, b] = colourOf(labelOfCluster(id)) ?? [128, 142, 152];
    colours.set(id, (labelOfCluster(id) === null ? 0x66000000 : 0x99000000) | (b << 16) | (g << 8) | r);
  }
  const { xy, ids } = points;
  for (let index = 0; index < ids.length; index += 1) {
    const left = Math.round((MARGIN + look.x + (xy[2 * index] / 65_535) * size.x * look.zoom) * ratio);
    const top = Math.round((MARGIN + look.y + (xy[2 * index + 1] / 65_535) * size.y * look.zoom) * ratio);
    if (left < 0 || top < 0 || left + dot > canvas.width || top + dot > canvas.height) continue;
    const colour = colours.get(ids[index]) ?? 0x55808080;
    for (let y = 0; y < dot; y += 1) words.fill(colour, (top + y) * canvas.width + left, (top + y) * canvas.width + left + dot);
  }
  cloud = { key, image };
  return image;
}

// ---- Selecting -----------------------------------------------------------------------------------------------------

function at(x, y) {
  let found = null;
  for (const bubble of bubbles) {
    if (!store.clusters.has(bubble.id)) continue;
    const [left, top] = toScreen(bubble);
    const size = Math.max(8, radius(bubble.id));
    if (Math.hypot(left - x, top - y) <= size && (!found || size < found.size)) found = { id: bubble.id, size };
  }
  return found?.id ?? null;
}

const outline = () => {
  if (tool === "lasso" || path.lasso) return path;
  const [[left, top], [right, bottom]] = [path[0], path.at(-1)];
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
};

function inside([x, y], corners) {
  let odd = false;
  for (let index = 0, last = corners.length - 1; index < corners.length; last = index, index += 1) {
    const [ax, ay] = corners[index];
    const [bx, by] = corners[last];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}

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
  if (rows.length) announce(`${count(rows.length, "cluster")} selected.`, { quiet: true });
  draw();
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
  if (id === here) return;
  here = id;
  draw();
  clearTimeout(waiting);
  const card = byId("map-card");
  if (id === null) {
    card.hidden = true;
    return;
  }
  const bubble = bubbles.find((other) => other.id === id);
  const row = store.clusters.get(id);
  const words = element("p", {}, element("strong", {}, `Cluster ${id}`),
    ` ${row.label === null ? "undecided" : nameOf(row.label)}, ${count(row.size, "radiograph")}`);
  const grid = element("div", { className: "card-tiles" }, ...tiles.map(({ tile }) => tile));
  tiles.forEach((tile) => tile.hide());
  card.replaceChildren(words, grid);
  card.hidden = false;
  const [x, y] = toScreen(bubble);
  const right = x > canvas.clientWidth / 2;
  const beside = radius(id) + 14;
  card.style.left = `${Math.max(8, right ? x - beside - card.offsetWidth : x + beside)}px`;
  card.style.top = `${Math.min(Math.max(8, y - 90), Math.max(8, canvas.clientHeight - 190))}px`;
  waiting = setTimeout(async () => {
    try {
      const sheet = await sheetOf(id).promise;
      if (here !== id) return;
      sheet.details.random.slice(0, 6).forEach((position, index) => tiles[index].show(position, sheet.tiles, index, "random"));
    } catch {
      // the words are there
    }
  }, 90);
}

// ---- Pointer and keys ----------------------------------------------------------------------------------------------

let from = null;
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  from = { x: event.offsetX, y: event.offsetY, moved: false, look: { ...look } };
  const draws = tool !== "pan" || event.shiftKey;
  path = draws ? Object.assign([[event.offsetX, event.offsetY]], { lasso: tool !== "rectangle" }) : null;
});
canvas.addEventListener("pointermove", (event) => {
  if (!from) return hover(at(event.offsetX, event.offsetY));
  const x = event.offsetX - from.x;
  const y = event.offsetY - from.y;
  from.moved ||= Math.hypot(x, y) > 4;
  if (!from.moved) return undefined;
  if (path) path.push([event.offsetX, event.offsetY]);
  else look = { zoom: look.zoom, x: from.look.x + x, y: from.look.y + y };
  hover(null);
  return draw();
});
canvas.addEventListener("pointerup", (event) => {
  if (!from) return;
  const { moved } = from;
  from = null;
  if (!moved) {
    const id = at(event.offsetX, event.offsetY);
    if (id === null && !event.shiftKey) pick([], false);
    else if (id !== null && event.shiftKey) toggle(id);
    else if (id !== null) picked.size === 1 && picked.has(id) ? pick([], false) : pick([id], false);
  } else if (path) {
    const corners = outline();
    pick(bubbles.filter((one) => store.clusters.has(one.id) && inside(toScreen(one), corners)).map((one) => one.id), event.shiftKey);
  }
  path = null;
  draw();
});
canvas.addEventListener("pointerleave", () => {
  if (!from) waiting = setTimeout(() => !byId("map-card").matches(":hover") && hover(null), 250);
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY);
}, { passive: false });

function zoomBy(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const zoom = Math.min(40, Math.max(1, look.zoom * factor));
  const by = zoom / look.zoom;
  look = { zoom, x: (x - MARGIN) * (1 - by) + look.x * by, y: (y - MARGIN) * (1 - by) + look.y * by };
  if (zoom === 1) look = { zoom: 1, x: 0, y: 0 };
  hover(null);
  draw();
}

const DIRECTIONS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

/** To the nearest bubble in this direction: the way there counts, the way aside counts double. */
function walk([dx, dy]) {
  const start = bubbles.find((one) => one.id === here);
  const [x, y] = start ? toScreen(start) : [canvas.clientWidth / 2, canvas.clientHeight / 2];
  let best = null;
  for (const bubble of bubbles) {
    if (bubble.id === here || !store.clusters.has(bubble.id)) continue;
    const [left, top] = toScreen(bubble);
    const along = (left - x) * dx + (top - y) * dy;
    const aside = Math.abs((left - x) * dy) + Math.abs((top - y) * dx);
    if (along <= 0.5 || aside > 3 * along) continue;
    if (!best || along + 2 * aside < best.far) best = { id: bubble.id, far: along + 2 * aside, left, top };
  }
  if (!best) return announce("No cluster lies there.");
  if (best.left < MARGIN || best.left > canvas.clientWidth - MARGIN) look.x += canvas.clientWidth / 2 - best.left;
  if (best.top < MARGIN || best.top > canvas.clientHeight - MARGIN) look.y += canvas.clientHeight / 2 - best.top;
  hover(best.id);
  const row = store.clusters.get(best.id);
  return announce(`Cluster ${best.id}, ${row.label === null ? "undecided" : nameOf(row.label)}${picked.has(best.id) ? ", selected" : ""}`, { quiet: true });
}

const KEYS = {
  "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4), 0: () => zoomBy(0.001),
  Escape: () => pick([], false), " ": () => here !== null && toggle(here),
  Delete: () => name("discard"),
};

function handleKey(event) {
  const { target } = event;
  if (takesText(target) && target !== box.input) return;
  if ((event.ctrlKey || event.metaKey) && ["z", "y"].includes(event.key.toLowerCase()) && box.isEmpty()) {
    event.preventDefault();
    const again = event.key.toLowerCase() === "y" || event.shiftKey;
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
    button("Whole", "0", () => zoomBy(0.001), "button quiet small"));
  const deselect = button("Deselect", "Esc", () => pick([], false));
  const open = button("Look closer", "", () => { location.hash = `#name/${[...picked][0]}`; });
  deselect.id = "map-clear";
  open.id = "map-open";
  byId("map-actions").replaceChildren(deselect, open);
  byId("layout").addEventListener("change", (event) => {
    layout = event.target.value;
    look = { zoom: 1, x: 0, y: 0 };
    hover(null);
    load().then(showCount, () => announce("The server does not answer."));
  });
  byId("tool").addEventListener("change", (event) => {
    tool = event.target.value;
  });
  new ResizeObserver(draw).observe(canvas);
  onTheme(() => {
    cloud = null;
    if (visible) showLegend();
    draw();
  });
  onChange(() => {
    if (!visible) return;
    cloud = null;
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
