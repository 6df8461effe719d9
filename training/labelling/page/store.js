// What the page knows of the run: clusters, order, history. Views read it and are told when it changes.

export const store = {
  run: null, // answer of GET /api/run
  reader: "",
  number: 0, // of the last entry known
  round: 1,
  clusters: new Map(),
  order: { useful: [], largest: [], uncertain: [] },
  ownLabels: [],
  progress: null,
  history: [],
  corrections: new Map(), // position -> label, of radiographs moved out on this page
  last: null, // last decision of this reader: {label, view, laterality}
};

const listeners = new Set();
let told = false;

export function onChange(listener) {
  listeners.add(listener);
}

/** Tell the views, once for all changes of this turn. */
export function changed() {
  if (told) return;
  told = true;
  queueMicrotask(() => {
    told = false;
    for (const listener of listeners) listener();
  });
}

/** All of GET /api/state. */
export function applyState(state) {
  store.number = state.number;
  store.round = state.round;
  store.clusters = new Map(state.clusters.map((cluster) => [cluster.id, cluster]));
  store.order = state.order;
  store.ownLabels = state.own_labels;
  store.progress = state.progress;
  store.history = state.history;
  rememberLast();
  changed();
}

/** What a decision, or its refusal, brought. */
export function applyAnswer(answer) {
  if (answer.number !== undefined) store.number = Math.max(store.number, answer.number);
  if (answer.round !== undefined) store.round = answer.round;
  for (const id of answer.gone ?? []) store.clusters.delete(id);
  for (const cluster of answer.clusters ?? []) store.clusters.set(cluster.id, cluster);
  if (answer.order) store.order = answer.order;
  if (answer.progress) store.progress = answer.progress;
  if (answer.own_labels) store.ownLabels = answer.own_labels;
  if (answer.history) {
    const fresh = new Map(answer.history.map((entry) => [entry.number, entry]));
    const kept = store.history.filter((entry) => !fresh.has(entry.number));
    store.history = [...fresh.values(), ...kept].sort((a, b) => b.number - a.number).slice(0, 100);
  }
  changed();
}

/** Show a decision before the server has it. Returns the rows as they were, for taking it back. */
export function applyEarly(request) {
  const before = [];
  if (request.action === "name" || request.action === "clear") {
    for (const id of request.clusters) {
      const row = store.clusters.get(id);
      if (!row) continue;
      before.push(row);
      const named = request.action === "name";
      store.clusters.set(id, {
        ...row,
        label: named ? asLabel(request.label) : null,
        view: named ? request.view : "",
        laterality: named ? request.laterality : "",
        reader: store.reader,
        early: true,
      });
    }
    if (request.action === "name") store.last = { ...request, label: asLabel(request.label) };
  }
  if (request.action === "correct") {
    for (const position of request.radiographs) store.corrections.set(position, asLabel(request.label));
  }
  changed();
  return before;
}

export function takeBack(rows) {
  for (const row of rows) if (store.clusters.has(row.id)) store.clusters.set(row.id, row);
  changed();
}

function rememberLast() {
  const mine = [...store.clusters.values()].filter((row) => row.label !== null && row.reader === store.reader);
  mine.sort((a, b) => (a.decided_at < b.decided_at ? 1 : -1));
  store.last = mine.length ? mine[0] : null;
}

// ---- Labels --------------------------------------------------------------------------------------------------------

/** What the server makes of a label that was typed. */
export const asLabel = (text) =>
  text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "");

const RESERVED = { discard: "Discard: not musculoskeletal", mixed: "Mixed: left out" };

export function nameOf(label) {
  if (label === null || label === undefined || label === "") return "";
  if (RESERVED[label]) return RESERVED[label].split(":")[0];
  const known = store.run.labels.find((entry) => entry.label === label);
  if (known) return known.name;
  const words = label.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Everything a cluster may be called: labels of the anatomy, own labels, and the two reserved ones. */
export function allLabels() {
  const known = new Set(store.run.labels.map((entry) => entry.label));
  const used = [...store.ownLabels, ...[...store.clusters.values()].map((row) => row.label)];
  const own = [...new Set(used.filter((label) => label && !known.has(label) && !RESERVED[label]))];
  return [
    ...store.run.labels,
    ...own.sort().map((label) => ({ label, name: nameOf(label), body_part_examined: "", own: true })),
    ...Object.entries(RESERVED).map(([label, name]) => ({ label, name, body_part_examined: "" })),
  ];
}

/** Labels in use with their clusters and radiographs, the largest first. */
export function labelsInUse() {
  const table = new Map();
  for (const row of store.clusters.values()) {
    if (row.label === null) continue;
    const line = table.get(row.label) ?? { label: row.label, clusters: 0, radiographs: 0, ids: [] };
    line.clusters += 1;
    line.radiographs += row.size;
    line.ids.push(row.id);
    table.set(row.label, line);
  }
  return [...table.values()].sort((a, b) => b.radiographs - a.radiographs || (a.label < b.label ? -1 : 1));
}

/** How far the reading is, the decisions that are still on their way included. */
export function coverage() {
  const sum = { clusters: 0, named: 0, radiographs: 0, covered: 0 };
  for (const row of store.clusters.values()) {
    sum.clusters += 1;
    sum.radiographs += row.size;
    if (row.label !== null) {
      sum.named += 1;
      sum.covered += row.size;
    }
  }
  return sum;
}

export const undecided = () => [...store.clusters.values()].filter((row) => row.label === null);
