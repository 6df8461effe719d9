// The contact sheet of a cluster: radiographs at random, the nearest to its centre and the farthest from it.

import { count, element } from "./dom.js";
import { createTile } from "./tiles.js";

const SECTIONS = [
  { name: "random", size: 24, heading: (found, all) => (all ? `All ${count(found, "radiograph")}` : `${found} at random`) },
  { name: "nearest", size: 6, heading: (found) => `${found} nearest to the centre` },
  { name: "farthest", size: 6, heading: (found) => `${found} farthest from the centre` },
];
const GAP = 3;
const HEADING = 24;
const SMALLEST = 92;
const FEW = 12; // radiographs of a cluster that is shown once, and whole

/** A sheet in `root`. Its tiles are made once and drawn anew for each cluster. */
export function createSheet(root, onOpen) {
  let positions = [];
  const open = (position) => onOpen(position, positions);
  const parts = SECTIONS.map((section) => {
    const title = element("h3", {});
    const tiles = Array.from({ length: section.size }, () => createTile(open));
    const grid = element("div", { className: "tiles" }, ...tiles.map(({ tile }) => tile));
    const part = element("section", { className: `sheet-part ${section.name}` }, title, grid);
    return { ...section, part, title, tiles, shown: 0 };
  });
  const [random, ...edges] = parts.map(({ part }) => part);
  root.append(random, element("div", { className: "sheet-edges" }, ...edges)); // nearest and farthest side by side

  /** The largest tiles with which the whole sheet fits; below a readable size it scrolls instead. */
  function fit() {
    const width = root.clientWidth - 24;
    const height = root.clientHeight - 16;
    if (width <= 0 || height <= 0) return;
    const [random, nearest, farthest] = parts.map((part) => part.shown);
    let best = { tile: SMALLEST, columns: Math.max(1, Math.floor((width + GAP) / (SMALLEST + GAP))) };
    for (let columns = 4; columns <= 16; columns += 1) {
      const tile = Math.floor((width - GAP * (columns - 1)) / columns);
      const rows = Math.ceil(random / columns) + Math.ceil(Math.max(nearest, farthest) / Math.floor(columns / 2));
      if (rows * (tile + GAP) + 2 * HEADING <= height && tile > best.tile) best = { tile, columns };
    }
    root.style.setProperty("--columns", best.columns);
    root.style.setProperty("--half", Math.max(1, Math.floor(best.columns / 2)));
    root.style.setProperty("--tile", `${best.tile}px`);
  }
  new ResizeObserver(fit).observe(root);

  return {
    show({ details, tiles }) {
      const seen = new Set();
      let index = 0;
      const before = parts.map((part) => part.shown).join();
      for (const part of parts) {
        const found = details[part.name];
        const repeats = part.name !== "random" && details.random.length <= FEW; // they are all in the sample
        part.shown = repeats ? 0 : found.length;
        part.part.hidden = part.shown === 0;
        part.title.textContent = part.heading(found.length, found.length < part.size);
        part.tiles.forEach((tile, place) => {
          if (place < part.shown) {
            tile.show(found[place], tiles, index, part.name);
            seen.add(found[place]);
            index += 1;
          } else tile.hide();
        });
      }
      positions = [...seen];
      if (parts.map((part) => part.shown).join() !== before) fit();
      root.scrollTop = 0;
      root.setAttribute("aria-label", `Cluster ${details.id}: ${count(positions.length, "radiograph")} shown`);
    },
    fit,
    numShown: () => positions.length,
  };
}
