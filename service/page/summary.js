// The summary over all files: classes by decision. A class opens its files.

import { bar, byId, count, element, nameOf, number } from "./dom.js";
import { countClasses, entries, FILTERS } from "./entries.js";
import { narrow } from "./list.js";

const DECISIONS = ["accept", "review", "out_of_scope"];

function rowOf(row, largest) {
  const open = () => {
    byId("summary").close();
    narrow({ filter: "all", label: row.label });
  };
  return element("tr", {},
    element("th", { scope: "row" }, element("button", { type: "button", className: "link", onclick: open }, nameOf(row.label))),
    element("td", { className: "bars" }, bar(...DECISIONS.map((decision) => [row[decision] / largest, decision]))),
    ...DECISIONS.map((decision) => element("td", {}, row[decision] ? number(row[decision]) : "–")),
    element("td", {}, element("b", {}, number(row.total))));
}

export function openSummary() {
  const rows = countClasses();
  const largest = Math.max(1, ...rows.map((row) => row.total));
  const numOf = (name) => entries.filter(FILTERS[name]).length;
  byId("summary-text").textContent = [
    `${count(entries.filter((entry) => entry.answer).length, "radiograph")} in ${count(rows.length, "class", "classes")}`,
    `${number(numOf("review"))} need review`,
    `${number(numOf("tag"))} with a tag that disagrees`,
    `${number(numOf("refused"))} not classified`,
  ].join(" · ");
  byId("summary-rows").replaceChildren(...rows.map((row) => rowOf(row, largest)));
  byId("summary-total").replaceChildren(element("th", { scope: "row" }, "All"), element("td", {}),
    ...DECISIONS.map((decision) => element("td", {}, number(numOf(decision)))),
    element("td", {}, number(rows.reduce((sum, row) => sum + row.total, 0))));
  byId("summary").showModal();
}
