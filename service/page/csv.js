// The results as a table for spreadsheets and programs, made in the browser.

import { tagAgreement } from "./entries.js";

const COLUMNS = {
  file: ({ path }) => path,
  state: ({ state }) => state,
  decision: ({ answer }) => answer?.decision,
  label: ({ answer }) => answer?.classes[0].label,
  probability: ({ answer }) => answer?.classes[0].probability,
  second_label: ({ answer }) => answer?.classes[1]?.label,
  second_probability: ({ answer }) => answer?.classes[1]?.probability,
  out_of_scope_score: ({ answer }) => answer?.out_of_scope_score,
  view: ({ answer }) => answer?.view?.value,
  view_probability: ({ answer }) => answer?.view?.probability,
  laterality: ({ answer }) => answer?.laterality?.value,
  laterality_probability: ({ answer }) => answer?.laterality?.probability,
  body_part_examined: ({ answer }) => answer?.tag.body_part_examined,
  tag_agrees: ({ answer }) => answer && tagAgreement(answer),
  format: ({ answer }) => answer?.radiograph.format,
  rows: ({ answer }) => answer?.radiograph.rows,
  columns: ({ answer }) => answer?.radiograph.columns,
  model: ({ answer }) => answer?.model.name,
  model_version: ({ answer }) => answer?.model.version,
  problem_code: ({ problem }) => problem?.code,
  problem: ({ problem }) => problem?.message,
};

/** A value as RFC 4180 quotes it. Text that a spreadsheet would compute begins with an apostrophe. */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const text = /^[\s\u0000-\u001f]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",;\t\r\n']/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** One line per file; the byte order mark tells spreadsheets that it is UTF-8. */
export function toCsv(entries) {
  const lines = entries.map((entry) => Object.values(COLUMNS).map((value) => cell(value(entry))).join(","));
  return `\ufeff${[Object.keys(COLUMNS).join(","), ...lines].join("\r\n")}\r\n`;
}

export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
