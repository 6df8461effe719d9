// What the map draws: every radiograph as a point, every cluster as a bubble, and what is selected among them.

import { css, colourOf, labelOfCluster } from "./colours.js";
import { coverage, nameOf, store } from "./store.js";

const MARGIN = 40;
const LARGEST_ZOOM = 40;
const LARGEST_BUBBLE = 0.08; // radius, of the smaller side

/**
 * A plot on `canvas`.
 *
 * Its `data` are `bubbles` [{id, x, y}] in [0, 1] and `points` {xy: Uint16Array, ids: Int32Array} or null; `here` is the
 * cluster under the pointer or the keyboard, `picked` a Set of clusters, `outline` the corners of what is being drawn.
 */
export function createPlot(canvas) {
  const context = canvas.getContext("2d");
  const self = {
    bubbles: [], points: null, here: null, picked: new Set(), outline: null,
    draw, moveTo, moveBy, zoomBy, reset, at, within, toScreen, radius, look: () => look, centre, margin: MARGIN,
  };
  let look = { zoom: 1, x: 0, y: 0 };
  let radiographs = 1;
  let cloud = null; // the points, kept until something about them changes
  let frame = 0;
  let unit = 1;

  const span = () => Math.min(canvas.clientWidth, canvas.clientHeight) - 2 * MARGIN;
  const shown = () => self.bubbles.filter((bubble) => store.clusters.has(bubble.id));

  function toScreen({ x, y }) {
    return [
      MARGIN + look.x + x * (canvas.clientWidth - 2 * MARGIN) * look.zoom,
      MARGIN + look.y + y * (canvas.clientHeight - 2 * MARGIN) * look.zoom,
    ];
  }

  function radius(id) {
    const share = (store.clusters.get(id)?.size ?? 1) / radiographs;
    return Math.min(LARGEST_BUBBLE * span(), Math.max(3.5, span() * 0.42 * Math.sqrt(share))) * look.zoom ** 0.6;
  }

  // ---- Looking -----------------------------------------------------------------------------------------------------

  function zoomBy(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const zoom = Math.min(LARGEST_ZOOM, Math.max(1, look.zoom * factor));
    const by = zoom / look.zoom;
    look = zoom === 1 ? { zoom: 1, x: 0, y: 0 }
      : { zoom, x: (x - MARGIN) * (1 - by) + look.x * by, y: (y - MARGIN) * (1 - by) + look.y * by };
    draw();
  }

  function reset() {
    look = { zoom: 1, x: 0, y: 0 };
    draw();
  }

  function moveTo(x, y) {
    look = { ...look, x, y };
    draw();
  }

  function moveBy(x, y) {
    moveTo(look.x + x, look.y + y);
  }

  /** Bring a place on the screen to the middle, if it lies near the edge. */
  function centre([x, y]) {
    const far = (value, size) => (value < MARGIN || value > size - MARGIN ? size / 2 - value : 0);
    moveBy(far(x, canvas.clientWidth), far(y, canvas.clientHeight));
  }

  // ---- Finding -----------------------------------------------------------------------------------------------------

  /** The smallest bubble at this place, or null. */
  function at(x, y) {
    let found = null;
    for (const bubble of shown()) {
      const [left, top] = toScreen(bubble);
      const size = Math.max(8, radius(bubble.id));
      if (Math.hypot(left - x, top - y) <= size && (!found || size < found.size)) found = { id: bubble.id, size };
    }
    return found?.id ?? null;
  }

  /** Clusters whose centres lie within these corners. */
  function within(corners) {
    const inside = ([x, y]) => {
      let odd = false;
      for (let index = 0, last = corners.length - 1; index < corners.length; last = index, index += 1) {
        const [ax, ay] = corners[index];
        const [bx, by] = corners[last];
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
      }
      return odd;
    };
    return shown().filter((bubble) => inside(toScreen(bubble))).map((bubble) => bubble.id);
  }

  // ---- Drawing -----------------------------------------------------------------------------------------------------

  function draw() {
    frame ||= requestAnimationFrame(paint);
  }

  function paint() {
    frame = 0;
    if (!canvas.clientWidth) return; // another view is shown
    ({ radiographs } = coverage());
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const style = getComputedStyle(canvas);
    const theme = Object.fromEntries(["soft", "ink", "panel", "accent"].map((name) => [name, style.getPropertyValue(`--${name}`)]));
    unit = parseFloat(getComputedStyle(document.documentElement).fontSize) / 15; // the page grows with the screen
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (self.points) context.putImageData(drawCloud(ratio), 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const words = [];
    for (const bubble of shown().sort((a, b) => radius(b.id) - radius(a.id))) drawBubble(bubble, theme, words);
    drawWords(words, theme);
    if (self.outline?.length > 1) drawOutline(theme);
  }

  function drawBubble({ id, x: across, y: down }, { soft, ink, panel, accent }, words) {
    const [x, y] = toScreen({ x: across, y: down });
    const size = radius(id);
    if (x < -size || y < -size || x > canvas.clientWidth + size || y > canvas.clientHeight + size) return;
    const label = labelOfCluster(id);
    const colour = colourOf(label);
    const isPicked = self.picked.has(id);
    context.beginPath();
    context.arc(x, y, size, 0, 2 * Math.PI);
    context.fillStyle = colour ? css(colour, 0.86) : panel;
    context.globalAlpha = colour ? 1 : 0.72;
    context.fill();
    context.globalAlpha = colour || isPicked ? 1 : 0.6;
    context.lineWidth = isPicked ? 3 : 1;
    context.strokeStyle = isPicked ? accent : colour ? panel : soft;
    context.stroke();
    context.globalAlpha = 1;
    if (isPicked) ring(x, y, size + 4, accent, 1.5);
    if (id === self.here) ring(x, y, size + 3, ink, 2.5);
    if (size > 15 * unit) words.push({ x, y, size, text: label === null ? String(id) : nameOf(label) });
  }

  function ring(x, y, size, colour, width) {
    context.beginPath();
    context.arc(x, y, size, 0, 2 * Math.PI);
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  }

  /** Names of the large bubbles, above all bubbles; where two would overlap the smaller one stays without. */
  function drawWords(words, { ink, panel }) {
    const taken = [];
    Object.assign(context, { textAlign: "center", textBaseline: "middle", lineJoin: "round", lineWidth: 3 * unit });
    for (const { x, y, size, text } of words) {
      const height = (size > 26 * unit ? 13 : 11) * unit;
      context.font = `600 ${height}px system-ui, sans-serif`;
      const half = context.measureText(text).width / 2 + 2;
      const overlaps = taken.some((other) => Math.abs(other.x - x) < other.half + half && Math.abs(other.y - y) < height + 2);
      if (half > 1.6 * size || overlaps) continue;
      taken.push({ x, y, half });
      context.strokeStyle = panel;
      context.strokeText(text, x, y);
      context.fillStyle = ink;
      context.fillText(text, x, y);
    }
  }

  function drawOutline({ accent }) {
    context.beginPath();
    for (const [x, y] of self.outline) context.lineTo(x, y);
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
  function drawCloud(ratio) {
    const { xy, ids } = self.points;
    const colours = new Map();
    for (const [id, { label }] of store.clusters) {
      const [r, g, b] = colourOf(label) ?? [128, 142, 152];
      colours.set(id, (label === null ? 0x80000000 : 0xaa000000) | (b << 16) | (g << 8) | r);
    }
    const key = [canvas.width, canvas.height, ...Object.values(look), ids.length, ...colours.values()].join();
    if (cloud?.key === key) return cloud.image;
    const { width, height } = canvas;
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const dot = Math.max(2, Math.round(1.9 * ratio * unit));
    const [left, top] = toScreen({ x: 0, y: 0 });
    const [right, bottom] = toScreen({ x: 1, y: 1 });
    for (let index = 0; index < ids.length; index += 1) {
      const x = Math.round((left + (xy[2 * index] / 65_535) * (right - left)) * ratio);
      const y = Math.round((top + (xy[2 * index + 1] / 65_535) * (bottom - top)) * ratio);
      if (x < 0 || y < 0 || x + dot > width || y + dot > height) continue;
      const colour = colours.get(ids[index]) ?? 0x55808080;
      for (let row = y; row < y + dot; row += 1) pixels.fill(colour, row * width + x, row * width + x + dot);
    }
    cloud = { key, image };
    return image;
  }

  return self;
}
