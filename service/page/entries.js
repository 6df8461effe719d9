// The files that were given, and what became of each. Files stay where they are; only answers are kept.

/** In the order in which they came, each at its `place`; waiting -> sending -> done, refused or cancelled. */
export const entries = [];
let current = null;
const watchers = [];
let changed = new Set();

/** Call `watch(changed)` soon, once for all that changes together, with the entries that have changed. */
export const onChange = (watch) => watchers.push(watch);

function tell(entry) {
  if (!changed.size) {
    setTimeout(() => {
      const told = changed;
      changed = new Set();
      for (const watch of watchers) watch(told);
    });
  }
  changed.add(entry);
}

export function update(entry, properties) {
  Object.assign(entry, properties);
  tell(entry);
}

/** @param files `{ file, path }`, the path for the eyes of who sits here: it is never sent. */
export function add(files) {
  const added = files.map(({ file, path }, index) => ({
    place: entries.length + index, file, path, state: "waiting", isPaused: false, answer: null, problem: null, seconds: 0,
  }));
  for (const entry of added) {
    entries.push(entry);
    tell(entry);
  }
  if (added.length) select(added[0]);
  return added;
}

export function clear() {
  for (const entry of entries) tell(entry);
  entries.length = 0;
  current = null;
}

export const selected = () => current;

export function select(entry) {
  if (current === entry) return;
  for (const one of [current, entry]) if (one) tell(one);
  current = entry;
}

export const isOpen = (entry) => entry.state === "waiting" || entry.state === "sending";

/** Whether the tag contradicts the model; what it says of a body part is no contradiction out of scope. */
export function tagAgreement({ tag, decision, classes: [best] }) {
  return decision !== "out_of_scope" || best.label === "not_musculoskeletal" ? tag.agrees : null;
}

/** What the list can be narrowed to. */
export const FILTERS = {
  all: () => true,
  accept: (entry) => entry.answer?.decision === "accept",
  review: (entry) => entry.answer?.decision === "review",
  out_of_scope: (entry) => entry.answer?.decision === "out_of_scope",
  tag: (entry) => entry.answer !== null && tagAgreement(entry.answer) === false,
  refused: (entry) => entry.state === "refused" || entry.state === "cancelled",
};

/** Classes with the number of their files by decision, the commonest first. */
export function countClasses() {
  const table = new Map();
  for (const { answer } of entries) {
    if (!answer) continue;
    const { label } = answer.classes[0];
    const row = table.get(label) ?? { label, total: 0, accept: 0, review: 0, out_of_scope: 0 };
    row.total += 1;
    row[answer.decision] += 1;
    table.set(label, row);
  }
  return [...table.values()].sort((a, b) => b.total - a.total || (a.label < b.label ? -1 : 1));
}
