// What the model says of the radiograph that is looked at.

import { announce, bar, byId, element, icon, nameOf, percent, short, show, size } from "./dom.js";
import { isOpen, selected, tagAgreement } from "./entries.js";
import { explain, mayTryAgain } from "./failures.js";
import { isNever, model } from "./model.js";

const ICONS = {
  accept: "M6.5 12.5l4 4L17.5 8.5",
  review: "M12 6v7M12 17.5v.01",
  out_of_scope: "M7.5 7.5l9 9M16.5 7.5l-9 9",
};
const TAG_ICONS = { true: ICONS.accept, false: "M5 9h14M5 15h14M16 4L8 20", null: "M6 12h12" };
const SIDES = { L: "left", R: "right", B: "both sides" };
let shown = null; // entry, state and answer, so that nothing is said twice

export function showAnswer() {
  const entry = selected();
  if (shown && shown.entry === entry && shown.state === entry?.state && shown.answer === entry?.answer) return;
  shown = { entry, state: entry?.state, answer: entry?.answer };
  const isDone = entry?.state === "done";
  const failed = Boolean(entry) && !isDone && !isOpen(entry);
  show("guide", !entry);
  show("coming", Boolean(entry) && isOpen(entry));
  show("result", isDone);
  show("failure", failed);
  if (isDone) showResult(entry);
  if (failed) showFailure(entry);
}

function showFailure(entry) {
  const [title, text] = explain(entry);
  byId("failure-title").textContent = title;
  byId("failure-text").textContent = text;
  byId("failure-code").textContent = entry.problem?.status ? `${entry.problem.status} ${entry.problem.code}` : "";
  show("retry", mayTryAgain(entry));
  announce(`${entry.file.name}: ${title}. ${text}`);
}

function showResult(entry) {
  const { answer } = entry;
  const [best] = answer.classes;
  const [title, text] = inWords(answer);
  byId("decision").dataset.decision = answer.decision;
  icon("decision-icon", ICONS[answer.decision]);
  byId("decision-title").textContent = title;
  byId("decision-text").textContent = text;
  byId("classes").replaceChildren(...answer.classes.map(classRow));
  byId("result").classList.toggle("distrusted", answer.decision === "out_of_scope");
  byId("classes-caption").textContent =
    answer.decision === "out_of_scope" ? "Nearest classes, not to be relied on" : "Most probable classes";
  showTag(answer);
  showFacts(entry);
  announce(`${entry.file.name}: ${title}, ${nameOf(best.label)} ${percent(best.probability)}. ${byId("tag-text").textContent}`);
}

/** The decision, and what it means. */
function inWords({ decision, classes: [best] }) {
  const name = nameOf(best.label);
  if (decision === "accept") return [name, "Accept: the model is sure enough to sort this by itself."];
  if (decision === "review") {
    const threshold = model.review_thresholds[best.label];
    const why = isNever(threshold)
      ? "The model never sorts this class by itself: too many of these answers were wrong."
      : `Less sure than the ${percent(threshold)} that the model needs to sort this class by itself.`;
    return [`Review: perhaps ${name.toLowerCase()}`, `${why} A person should decide.`];
  }
  return best.label === "not_musculoskeletal"
    ? ["Not musculoskeletal", "Out of scope: the model recognises something that it does not sort."]
    : ["Out of scope", "This resembles nothing that the model was trained on. A person should look."];
}

function classRow({ label, probability, body_part_examined: term, code }, rank) {
  const codes = rank > 0 ? "" : [term && `DICOM\u00a0${term}`, code && `SNOMED\u00a0CT\u00a0${code.value}`].filter(Boolean).join(" · ");
  return element("tr", {},
    element("th", { scope: "row" }, nameOf(label), codes && element("span", { className: "codes" }, codes)),
    element("td", {}, element("span", { className: "percent" }, percent(probability)), bar([probability])));
}

function showTag(answer) {
  const { tag, radiograph } = answer;
  const agrees = tagAgreement(answer);
  const term = tag.body_part_examined;
  const unknown =
    radiograph.format === "dicom"
      ? "Body Part Examined in the file is empty or not a known term."
      : `A ${radiograph.format.toUpperCase()} file carries no DICOM tag to compare with.`;
  const text = {
    true: `The DICOM tag${term ? ` ${term}` : ""} agrees.`,
    false: `The DICOM tag${term ? ` says ${term} and` : ""} does not agree: one of the two is wrong.`,
    null: term ? `The DICOM tag says ${term}; there is nothing to compare it with.` : unknown,
  }[agrees];
  byId("tag").dataset.agrees = String(agrees);
  icon("tag-icon", TAG_ICONS[agrees]);
  byId("tag-text").textContent = text;
}

function showFacts({ answer, file, path, seconds }) {
  const { format, rows, columns, was_negative: wasNegative } = answer.radiograph;
  const attributes = [
    answer.view && `${answer.view.value} ${percent(answer.view.probability)}`,
    answer.laterality && `${SIDES[answer.laterality.value] ?? answer.laterality.value} ${percent(answer.laterality.probability)}`,
  ].filter(Boolean);
  const facts = {
    ...(attributes.length && { View: attributes.join(" · ") }),
    File: `${path}, ${size(file.size)}`,
    Read: `${format.toUpperCase()}, ${columns} × ${rows} pixels${wasNegative ? ", a negative, inverted" : ""}`,
    Distance: `${short(answer.out_of_scope_score)} from the training data; out of scope above ${short(model.out_of_scope_threshold)}`,
    Time: `${seconds.toFixed(seconds < 10 ? 2 : 0)} s`,
  };
  byId("facts").replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
}
