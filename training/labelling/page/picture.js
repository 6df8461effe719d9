// A radiograph on a canvas: 16 bits of grey, seen through a window that the reader moves.

import { getImage, Problem } from "./client.js";
import { sprite } from "./tiles.js";

const LEVELS = 65_536;
const OUTSIDE = 0.001; // share of pixels left out at either end of the first window

/** Grey levels from a PNG whose red and green are the high and the low byte. */
function greyLevels(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const levels = new Uint16Array(bitmap.width * bitmap.height);
  for (let pixel = 0; pixel < levels.length; pixel += 1) levels[pixel] = data[4 * pixel] * 256 + data[4 * pixel + 1];
  return levels;
}

function firstWindow(levels) {
  const histogram = new Uint32Array(LEVELS);
  for (const level of levels) histogram[level] += 1;
  const outside = levels.length * OUTSIDE;
  let low = 0;
  let high = LEVELS - 1;
  for (let sum = 0; low < high; low += 1) if ((sum += histogram[low]) > outside) break;
  for (let sum = 0; high > low; high -= 1) if ((sum += histogram[high]) > outside) break;
  return { centre: (low + high) / 2, width: Math.max(64, high - low) };
}

/**
 * A picture on `canvas`, moved with `stage` (the element around it).
 *
 * `load(position)` resolves to "pixels", "tile" (the source is out of reach) or "late" (another was asked for since).
 */
export function createPicture(canvas, stage, { onWindow = () => {} } = {}) {
  let asked = 0;
  let levels = null;
  let first = null;
  let seen = null; // {centre, width}
  let inverted = false;
  let zoom = 1;
  let shift = { x: 0, y: 0 };
  let frame = 0;

  function paint() {
    frame = 0;
    if (!levels) {
      canvas.style.filter = inverted ? "invert(1)" : "";
      return;
    }
    canvas.style.filter = "";
    const table = new Uint8ClampedArray(LEVELS);
    const bottom = seen.centre - seen.width / 2;
    for (let level = 0; level < LEVELS; level += 1) {
      const grey = (255 * (level - bottom)) / seen.width;
      table[level] = inverted ? 255 - Math.min(255, Math.max(0, grey)) : grey;
    }
    const image = new ImageData(canvas.width, canvas.height);
    const words = new Uint32Array(image.data.buffer);
    for (let pixel = 0; pixel < levels.length; pixel += 1) words[pixel] = 0xff000000 | (table[levels[pixel]] * 0x010101);
    canvas.getContext("2d").putImageData(image, 0, 0);
    onWindow(seen);
  }
  const repaint = () => {
    frame ||= requestAnimationFrame(paint);
  };
  const place = () => {
    canvas.style.transform = `translate(${shift.x}px, ${shift.y}px) scale(${zoom})`;
  };

  function reset() {
    seen = first ? { ...first } : null;
    inverted = false;
    zoom = 1;
    shift = { x: 0, y: 0 };
    place();
    repaint();
  }

  async function load(position) {
    const mine = (asked += 1);
    canvas.classList.add("waiting");
    try {
      const bitmap = await getImage(`radiographs/${position}/pixels`, true);
      if (mine !== asked) return "late";
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
      levels = greyLevels(bitmap);
      bitmap.close();
      first = firstWindow(levels);
      reset();
      return "pixels";
    } catch (error) {
      if (mine !== asked) return "late";
      if (!(error instanceof Problem)) throw error;
      const tiles = await sprite([position]);
      if (mine !== asked) return "late";
      levels = first = null;
      tiles.draw(canvas, 0);
      canvas.height = canvas.width;
      tiles.draw(canvas, 0);
      tiles.close();
      reset();
      return "tile";
    } finally {
      if (mine === asked) canvas.classList.remove("waiting");
    }
  }

  function zoomBy(factor, at = null) {
    const before = zoom;
    zoom = Math.min(12, Math.max(0.5, zoom * factor));
    if (at) {
      const box = stage.getBoundingClientRect();
      const x = at.clientX - box.left - box.width / 2;
      const y = at.clientY - box.top - box.height / 2;
      shift = { x: x - ((x - shift.x) * zoom) / before, y: y - ((y - shift.y) * zoom) / before };
    }
    if (zoom === 1) shift = { x: 0, y: 0 };
    place();
  }

  // Dragging: the window; with Shift or the middle button, the picture itself.
  let from = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button")) return;
    from = { x: event.clientX, y: event.clientY, moves: event.shiftKey || event.button === 1 };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!from) return;
    const x = event.clientX - from.x;
    const y = event.clientY - from.y;
    from = { ...from, x: event.clientX, y: event.clientY };
    if (from.moves) {
      shift = { x: shift.x + x, y: shift.y + y };
      place();
    } else if (seen) {
      const step = first.width / 500;
      seen = { centre: seen.centre - y * step, width: Math.max(64, seen.width + x * step) };
      repaint();
    }
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { from = null; });
  stage.addEventListener("dblclick", reset);
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15, event);
  }, { passive: false });

  return {
    load,
    reset,
    zoomBy,
    invert() {
      inverted = !inverted;
      if (levels) repaint();
      else paint();
    },
    window: () => seen,
  };
}
