// Where the reader has been and what comes next: the chosen order, without what is decided or was passed.

import { store } from "./store.js";

const trail = [];
let place = -1;
const passed = new Set(); // seen and left undecided; they come back when nothing else is left
export const choice = { order: "useful", show: "undecided" };

const open = (id) => store.clusters.has(id) && (choice.show === "all" || store.clusters.get(id).label === null);

export const current = () => trail[place] ?? null;

/** Clusters that would follow, the nearest first. */
export function upcoming(most) {
  const ahead = trail.slice(place + 1).filter((id) => store.clusters.has(id) && open(id));
  const order = store.order[choice.order] ?? [];
  const rest = order.filter((id) => open(id) && !passed.has(id) && id !== current() && !ahead.includes(id));
  return [...ahead, ...rest].slice(0, most);
}

/** To this cluster, whatever the order. */
export function goTo(id) {
  if (id !== current()) goThrough([id]);
}

/** To these clusters next, before the order goes on. */
export function goThrough(ids) {
  place = Math.min(place + 1, trail.length);
  trail.splice(place, 0, ...ids);
}

/** On to the next; the present one is passed if it is not decided. Null when there is none. */
export function next() {
  const here = current();
  if (here !== null) passed.add(here);
  while (place + 1 < trail.length) {
    place += 1;
    if (open(trail[place])) return current();
  }
  let [found] = upcoming(1);
  if (found === undefined) {
    passed.clear();
    if (here !== null && !(choice.show === "undecided" && open(here))) passed.add(here);
    [found] = upcoming(1);
    if (found === undefined && here !== null && open(here) && store.clusters.get(here).label === null) return here;
  }
  if (found === undefined) {
    place = trail.length; // after the end, so that back leads to the last
    return null;
  }
  trail.push(found);
  place = trail.length - 1;
  return found;
}

export function back() {
  for (let before = place - 1; before >= 0; before -= 1) {
    if (store.clusters.has(trail[before])) {
      place = before;
      return current();
    }
  }
  return null;
}

/** Start again from the top of the order. */
export function restart() {
  passed.clear();
  trail.length = 0;
  place = -1;
}

/** How many are left, the present one included. */
export const numLeft = () => [...store.clusters.values()].filter((row) => row.label === null).length;
