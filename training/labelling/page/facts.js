// What stands around the sheet of a cluster: its head, its facts and tags, and the chips of view and laterality.

import { announce, bar, byId, count, element, key, number, percent } from "./dom.js";
import { nameOf, store } from "./store.js";
import { numLeft } from "./trail.js";

const SOURCES = { tags: "from tags", probe: "linear probe" };
const ATTRIBUTES = { body_part_examined: "Body part tag", view_position: "View", laterality: "Side", site: "Site" };

export function announceCluster(details) {
  const row = store.clusters.get(details.id);
  if (!row) return;
  const [best] = details.suggestions;
  const suggestion = best ? ` Suggestion: ${nameOf(best.label)}, ${percent(best.confidence)}.` : "";
  announce(`Cluster ${details.id}, ${count(row.size, "radiograph")}.${suggestion}`, { quiet: true });
}

export function showHead(row) {
  byId("cluster-title").textContent = `Cluster ${row.id}`;
  const label = byId("cluster-label");
  label.replaceChildren();
  label.hidden = row.label === null;
  if (row.label !== null) {
    label.append(element("strong", {}, nameOf(row.label)), ` ${[row.view, row.laterality].filter(Boolean).join(" ")} by ${row.reader}`);
  }
  byId("cluster-place").textContent = `${number(numLeft())} left`;
}

const fact = (name, value, ...more) =>
  element("div", { className: "fact" }, element("span", { className: "fact-name" }, name), element("span", { className: "fact-value" }, value), ...more);

export function showFacts(row, details) {
  const facts = [fact("Radiographs", number(row.size))];
  facts.push(row.purity ? fact(`Purity, ${SOURCES[row.purity.source] ?? row.purity.source}`, percent(row.purity.value), bar(row.purity.value))
    : fact("Purity", "not known"));
  facts.push(fact("Tightness", row.tightness.toFixed(2), bar(row.tightness)));
  for (const attribute of new Set(details.tags.map((tag) => tag.attribute))) {
    const tags = details.tags.filter((tag) => tag.attribute === attribute);
    const whole = attribute === "site" ? row.size : details.num_tagged || row.size;
    const total = Math.max(whole, tags.reduce((sum, tag) => sum + tag.count, 0));
    const lines = tags.slice(0, 2).map((tag) =>
      element("span", { className: "share" }, element("b", {}, tag.value), bar(tag.count / total), percent(tag.count / total)));
    const heading = `${ATTRIBUTES[attribute] ?? attribute.replaceAll("_", " ")}${tags.length > 2 ? ` (${tags.length})` : ""}`;
    facts.push(element("div", { className: "fact wide", title: tags.map((tag) => `${tag.value} ${tag.count}`).join(", ") },
      element("span", { className: "fact-name" }, heading), ...lines));
  }
  byId("cluster-facts").replaceChildren(...facts);
  const near = details.neighbours.filter((other) => other.label).slice(0, 4);
  const links = near.flatMap((other, index) => [
    index ? ", " : "Near: ", `${nameOf(other.label)} (`,
    element("a", { href: `#name/${other.id}` }, `cluster ${other.id}`), `, ${other.similarity.toFixed(2)})`]);
  byId("name-near").replaceChildren(...links);
}

// ---- View and laterality -------------------------------------------------------------------------------------------

export const chosen = { view: "", laterality: "" }; // optional, recorded with the label

export function clearChips() {
  chosen.view = chosen.laterality = "";
}

export function showChips() {
  const chips = (name, values, words, shortcut) => [
    element("span", { className: "chips-name" }, words, key(shortcut)),
    ...values.map((value) =>
      element("button", {
        type: "button", className: "chip", aria: { pressed: String(chosen[name] === value) },
        onclick: () => setChip(name, chosen[name] === value ? "" : value),
      }, value)),
  ];
  byId("chips").replaceChildren(
    element("div", {}, ...chips("view", store.run.views, "View", "[")),
    element("div", {}, ...chips("laterality", store.run.lateralities, "Side", "]")));
}

function setChip(name, value) {
  chosen[name] = value;
  const focused = [...byId("chips").querySelectorAll("button")].indexOf(document.activeElement);
  showChips();
  if (focused >= 0) byId("chips").querySelectorAll("button")[focused].focus();
  announce(`${name === "view" ? "View" : "Side"}: ${value || "none"}`);
}

export function cycleChip(name) {
  const all = ["", ...(name === "view" ? store.run.views : store.run.lateralities)];
  setChip(name, all[(all.indexOf(chosen[name]) + 1) % all.length]);
}
