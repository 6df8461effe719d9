// Rows in place of the sheet: clusters that may bear one label, to be named together, or the parts of a split.

import { get } from "./client.js";
import { announce, button, count, element, key } from "./dom.js";
import { sprite } from "./tiles.js";

const TILES_A_ROW = 6;
const MOST_ROWS = 33; // six tiles each fit one sprite

/** Rows in `root`; `onSplit(parts)` and `onLeave()` are called back. */
export function createGrouping({ root, onLeave, onSplit, focus }) {
  const self = { mode: null, handleKey, leave, left, numOut, numShown, enterGroup, enterSplit };
  let rows = []; // {id, root, out}
  let at = 0;
  let parts = 2;
  let split = null; // {id, size}
  let asked = 0;

  function leave() {
    if (!self.mode) return;
    self.mode = null;
    rows = [];
    root.replaceChildren();
    onLeave();
  }

  function left() {
    return rows.filter((row) => !row.out).map((row) => row.id);
  }

  function numOut() {
    return rows.length - left().length;
  }

  function numShown() {
    return rows.length * TILES_A_ROW;
  }

  async function draw(canvases, positions) {
    const mine = (asked += 1);
    const tiles = await sprite(positions);
    if (mine === asked) canvases.forEach((canvas, index) => tiles.draw(canvas, index));
    tiles.close();
  }

  const strip = (positions) => positions.map(() => element("canvas", { width: 224, height: 224, className: "tile still" }));

  // ---- Group ---------------------------------------------------------------------------------------------------------

  async function enterGroup(group) {
    self.mode = "group";
    at = 0;
    const shown = group.slice(0, MOST_ROWS);
    const all = [];
    rows = shown.map((cluster, index) => {
      const canvases = strip(cluster.positions.slice(0, TILES_A_ROW));
      all.push(...canvases);
      const row = { id: cluster.id, out: false };
      row.root = element("button", {
        type: "button", className: "group-row", aria: { pressed: "true" }, onclick: () => toggle(index),
      },
      element("span", { className: "row-name" }, index < 9 ? key(String(index + 1)) : null,
        element("strong", {}, `Cluster ${cluster.id}`), element("span", {}, count(cluster.size, "radiograph")),
        element("span", { className: "row-state" }, "In")),
      ...canvases);
      row.root.addEventListener("mousedown", (event) => event.preventDefault());
      return row;
    });
    const more = group.length - shown.length;
    root.replaceChildren(
      element("div", { className: "rows-head" },
        element("p", {}, `${count(group.length, "cluster")} that may bear one label. It names all that are in.`,
          more > 0 ? ` ${more} more are not shown and stay undecided.` : ""),
        button("Leave", "Esc", () => { leave(); focus(); }, "button quiet small")),
      element("p", { className: "rows-hint" }, "Take a row out: click, its number, or arrows and Space. Enter takes the first suggestion for all."),
      ...rows.map((row) => row.root));
    mark(0);
    announce(`${count(group.length, "cluster")} that may bear one label.`);
    await draw(all, shown.flatMap((cluster) => cluster.positions.slice(0, TILES_A_ROW)));
  }

  function mark(index) {
    at = (index + rows.length) % rows.length;
    rows.forEach((row, place) => row.root.classList.toggle("here", place === at));
    rows[at].root.scrollIntoView({ block: "nearest" });
  }

  function toggle(index) {
    const row = rows[index];
    if (!row) return;
    row.out = !row.out;
    row.root.setAttribute("aria-pressed", String(!row.out));
    row.root.querySelector(".row-state").textContent = row.out ? "Out" : "In";
    mark(index);
    announce(`Cluster ${row.id} is ${row.out ? "out" : "in"}. ${left().length} are in.`);
  }

  // ---- Split ---------------------------------------------------------------------------------------------------------

  function enterSplit(id, size) {
    self.mode = "split";
    split = { id, size };
    preview(2);
  }

  async function preview(wanted) {
    if (wanted > split.size) return announce(`It has only ${count(split.size, "radiograph")}.`);
    parts = wanted;
    const choices = Array.from({ length: 8 }, (_, index) => index + 2).map((value) =>
      element("button", { type: "button", className: "chip", aria: { pressed: String(value === parts) }, onclick: () => preview(value) }, String(value)));
    const body = element("div", { className: "split-parts" }, element("p", { className: "rows-hint" }, "Looking at the parts …"));
    root.replaceChildren(
      element("div", { className: "rows-head" },
        element("p", {}, `Split cluster ${split.id} into`), element("div", { className: "chips" }, ...choices),
        button(`Split into ${parts}`, "Enter", () => onSplit(parts), "button small"),
        button("Leave", "Esc", () => { leave(); focus(); }, "button quiet small")),
      body);
    const id = split.id;
    try {
      const answer = await get(`clusters/${id}/split?parts=${wanted}`);
      if (self.mode !== "split" || parts !== wanted || split.id !== id) return undefined;
      const all = [];
      const rowsOf = answer.parts.map((part, index) => {
        const canvases = strip(part.positions);
        all.push(...canvases);
        return element("div", { className: "split-row" },
          element("span", { className: "row-name" }, element("strong", {}, `Part ${index + 1}`), element("span", {}, count(part.size, "radiograph"))),
          element("div", { className: "split-tiles" }, ...canvases));
      });
      body.style.setProperty("--across", wanted <= 2 ? 6 : wanted === 3 ? 8 : 12); // few parts leave room for larger tiles
      body.replaceChildren(...rowsOf);
      announce(`${parts} parts: ${answer.parts.map((part) => part.size).join(", ")} radiographs.`);
      await draw(all, answer.parts.flatMap((part) => part.positions));
    } catch (error) {
      body.replaceChildren(element("p", { className: "rows-hint" }, error.status ? error.message : "The server does not answer."));
    }
    return undefined;
  }

  // ---- Keys ----------------------------------------------------------------------------------------------------------

  /** True if the key was for the rows. */
  function handleKey(event) {
    const digit = /^[1-9]$/.test(event.key) ? Number(event.key) : 0;
    if (event.key === "Escape") {
      leave();
      focus();
    } else if (self.mode === "split" && digit >= 2) preview(digit);
    else if (self.mode === "split" && event.key === "Enter") onSplit(parts);
    else if (self.mode === "group" && digit && digit <= rows.length) toggle(digit - 1);
    else if (self.mode === "group" && event.key === "ArrowDown") mark(at + 1);
    else if (self.mode === "group" && event.key === "ArrowUp") mark(at - 1);
    else if (self.mode === "group" && event.key === " ") toggle(at);
    else if (self.mode !== "split" || event.key.length > 1) return false; // a split takes no other letters
    event.preventDefault();
    return true;
  }

  return self;
}
