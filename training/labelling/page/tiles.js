// Tiles of radiographs: one sprite for a sheet, fetched and decoded before it is needed, drawn into small canvases.

import { get, getImage } from "./client.js";
import { element } from "./dom.js";
import { nameOf, store } from "./store.js";

const COLUMNS = 6;
const MOST_TILES = 200; // of one sprite
const MOST_KEPT = 14; // sheets in memory; a sprite of 36 tiles takes 7 MB

const kept = new Map(); // cluster id -> {promise, value}

/** Sprite of these positions: `{draw(canvas, index)}`. */
export async function sprite(positions) {
  const wanted = positions.slice(0, MOST_TILES);
  const size = store.run.tile_size;
  const bitmap = wanted.length ? await getImage(`tiles?of=${wanted.join(",")}&columns=${COLUMNS}`) : null;
  return {
    draw(canvas, index) {
      if (canvas.width !== size) canvas.width = canvas.height = size;
      const left = (index % COLUMNS) * size;
      const top = Math.floor(index / COLUMNS) * size;
      canvas.getContext("2d").drawImage(bitmap, left, top, size, size, 0, 0, size, size);
    },
    close: () => bitmap?.close(),
  };
}

/** Details and sprite of a cluster's sheet; what was asked for before is there at once. */
export function sheetOf(id) {
  const known = kept.get(id);
  if (known) {
    kept.delete(id); // the latest stands at the end
    kept.set(id, known);
    return known;
  }
  const fresh = { value: null, promise: null };
  fresh.promise = get(`clusters/${id}`)
    .then(async (details) => {
      const positions = [...details.random, ...details.nearest, ...details.farthest];
      fresh.value = { details, positions, tiles: await sprite(positions) };
      return fresh.value;
    })
    .catch((error) => {
      if (kept.get(id) === fresh) kept.delete(id);
      throw error;
    });
  kept.set(id, fresh);
  for (const old of kept.keys()) {
    if (kept.size <= MOST_KEPT) break;
    kept.get(old).promise.then((sheet) => sheet.tiles.close(), () => {});
    kept.delete(old);
  }
  return fresh;
}

/** Suggestions age with every decision; the pictures do not. */
export function refreshDetails(id) {
  const known = kept.get(id);
  if (!known?.value) return Promise.resolve(null);
  return get(`clusters/${id}`).then((details) => {
    if (!known.value) return null;
    const same = [...details.random, ...details.nearest, ...details.farthest].join() === known.value.positions.join();
    if (same) known.value.details = details;
    else kept.delete(id);
    return same ? known.value : null;
  });
}

export function forget(id) {
  kept.delete(id);
}

/** A tile: a button with the picture of one radiograph, and what it was moved to if it was moved out. */
export function createTile(onOpen) {
  const canvas = element("canvas", { width: 224, height: 224, aria: { hidden: "true" } });
  const note = element("span", { className: "tile-note" });
  const tile = element("button", { type: "button", className: "tile", hidden: true }, canvas, note);
  tile.addEventListener("click", () => onOpen(Number(tile.dataset.position), tile));
  return {
    tile,
    canvas,
    show(position, tiles, index, about) {
      tile.hidden = false;
      tile.dataset.position = position;
      tiles.draw(canvas, index);
      const moved = store.corrections.get(position);
      note.textContent = moved ? `→ ${nameOf(moved)}` : "";
      tile.classList.toggle("moved", Boolean(moved));
      tile.setAttribute("aria-label", `Radiograph ${position}, ${about}${moved ? `, moved to ${nameOf(moved)}` : ""}`);
    },
    hide() {
      tile.hidden = true;
    },
  };
}
