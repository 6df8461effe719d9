// The pictures of the radiographs that were looked at last; all others are made again when they are asked for.

import { classify } from "./client.js";
import { update } from "./entries.js";
import { topK } from "./model.js";

const NUM_KEPT = 8;
const kept = new Map(); // entry -> pictures, the one looked at last at the end

export function picturesOf(entry) {
  const pictures = kept.get(entry);
  if (pictures) {
    kept.delete(entry);
    kept.set(entry, pictures);
  }
  return pictures;
}

function urlOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
}

function drop(entry) {
  const { image, overlay } = kept.get(entry);
  for (const url of [image, overlay]) URL.revokeObjectURL(url);
  kept.delete(entry);
}

/** Keep the pictures of an answer, and the answer without them. */
export function settle(entry, { grad_cam: heatMap, ...answer }, properties = {}) {
  if (heatMap) {
    if (kept.has(entry)) drop(entry);
    if (kept.size === NUM_KEPT) drop(kept.keys().next().value);
    const { label, width, height, hottest_region } = heatMap;
    const image = urlOf(heatMap.image_png_base64);
    kept.set(entry, { label, width, height, hottest_region, image, overlay: urlOf(heatMap.overlay_png_base64) });
  }
  update(entry, { ...properties, answer });
}

/** Have the pictures of a file made. */
export async function makePictures(entry, signal) {
  settle(entry, await classify(entry.file, { topK: topK(), gradCam: true, signal }));
}

export function dropAll() {
  for (const entry of [...kept.keys()]) drop(entry);
}
