// Which labels fit what was typed: word starts before the middle of words, labels in use before the others.

import { allLabels, asLabel, labelsInUse } from "./store.js";

const plain = (text) => asLabel(text).replaceAll("_", " ");

/** Rank of a label for the typed words, smaller is better; null where it does not match. */
function rank(entry, typed) {
  const name = plain(entry.name);
  const label = plain(entry.label);
  const term = plain(entry.body_part_examined);
  if ([name, label, term].includes(typed)) return 0;
  if (name.startsWith(typed) || label.startsWith(typed)) return 1;
  const words = `${name} ${label}`.split(" ");
  const parts = typed.split(" ");
  if (parts.every((part) => words.some((word) => word.startsWith(part)))) return 2;
  if (term.startsWith(typed)) return 3;
  if (name.split(" ").map((word) => word[0]).join("").startsWith(typed)) return 4; // ls: lumbar spine
  if (`${name} ${label} ${term}`.includes(typed)) return 5;
  return null;
}

/** Labels that match, the best first. */
export function complete(text, most = 8) {
  const typed = plain(text);
  if (!typed) return [];
  const uses = new Map(labelsInUse().map((line) => [line.label, line.clusters]));
  const found = [];
  for (const entry of allLabels()) {
    const place = rank(entry, typed);
    if (place !== null) found.push({ entry, place, uses: uses.get(entry.label) ?? 0 });
  }
  found.sort((a, b) => a.place - b.place || b.uses - a.uses || (a.entry.name < b.entry.name ? -1 : 1));
  return found.slice(0, most).map(({ entry, uses: clusters }) => ({ ...entry, clusters }));
}

/** True if a label of exactly this name exists. */
export const exists = (text) => allLabels().some((entry) => entry.label === asLabel(text) || plain(entry.name) === plain(text));
