// The light box: the radiograph as the service drew it again, the heat map over it, and the box of its hottest region.

import { byId, nameOf, show } from "./dom.js";
import { isOpen, selected } from "./entries.js";
import { makePictures, picturesOf } from "./pictures.js";

const SETTLED_MILLISECONDS = 120; // nothing is made for files that are only passed by
let fetching = { entry: null, controller: new AbortController() };
let shown = null;

export function showViewer() {
  const entry = selected();
  const pictures = entry && picturesOf(entry);
  if (entry?.state === "done" && !pictures) makeSoon(entry);
  else if (fetching.entry && fetching.entry !== entry) stopMaking();
  show("invitation", !entry);
  show("pending", Boolean(entry) && !pictures);
  show("images", Boolean(pictures));
  show("controls", Boolean(pictures));
  if (entry && !pictures) showPending(entry);
  if (shown === pictures) return;
  shown = pictures ?? null;
  if (pictures) draw(pictures);
}

function showPending(entry) {
  const words = {
    waiting: "Waiting for its turn",
    sending: entry.isPaused ? "The service is busy; asked again in a moment" : "Being classified",
    done: fetching.failed === entry ? "Its picture could not be made" : "Drawing it",
    refused: "No picture: the file was refused",
    cancelled: "Cancelled",
  };
  byId("pending-text").textContent = words[entry.state];
  show("spinner", isOpen(entry) || (entry.state === "done" && fetching.failed !== entry));
}

function draw({ image, overlay, label, width, height, hottest_region: region }) {
  byId("image").src = image;
  byId("overlay").src = overlay;
  byId("overlay").alt = `Heat map: where the evidence for ${nameOf(label).toLowerCase()} lies`;
  byId("region").setAttribute("viewBox", `0 0 ${width} ${height}`);
  byId("region-box").toggleAttribute("hidden", !region);
  byId("box").disabled = !region;
  for (const [name, value] of Object.entries(region ?? {})) byId("region-box").setAttribute(name, value);
}

// ---- On demand -----------------------------------------------------------------------------------------------------

function stopMaking() {
  fetching.controller.abort();
  fetching = { entry: null, controller: new AbortController() };
}

async function makeSoon(entry) {
  if (fetching.entry === entry) return;
  stopMaking();
  const mine = (fetching = { entry, controller: new AbortController() });
  await new Promise((resolve) => setTimeout(resolve, SETTLED_MILLISECONDS));
  if (mine.controller.signal.aborted) return;
  try {
    await makePictures(entry, mine.controller.signal);
    if (fetching === mine) fetching.entry = null;
  } catch {
    if (mine.controller.signal.aborted) return;
    mine.failed = entry;
    showViewer();
  }
}

// ---- Controls ------------------------------------------------------------------------------------------------------

function showLayers() {
  const strength = byId("strength").value;
  byId("overlay").hidden = !byId("heat").checked;
  byId("overlay").style.opacity = String(strength / 100);
  byId("strength-text").textContent = `${strength} %`;
  byId("region").toggleAttribute("hidden", !byId("box").checked);
}

export function toggle(id) {
  if (byId("controls").hidden || byId(id).disabled) return;
  byId(id).checked = !byId(id).checked;
  showLayers();
}

export function startViewer() {
  for (const id of ["heat", "box"]) byId(id).addEventListener("change", showLayers);
  byId("strength").addEventListener("input", () => {
    byId("heat").checked = true;
    showLayers();
  });
  showLayers();
}
