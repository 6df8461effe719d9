// Which model answers: its name, how well it did where that was measured, and the key that the service may want.

import { getModel, onKeyNeeded, useKey } from "./client.js";
import { byId, count, element, nameOf, percent, short, show } from "./dom.js";

const NUM_CLASSES_SHOWN = 5;
const PARTS = { holdout_internal: "Hold-out, known sites", holdout_external: "Hold-out, other sites" };
const FIGURES = {
  top_1: "Right at the first guess",
  top_2: "Right within two guesses",
  accepted: "Sorted by itself",
  accepted_precision: "Right of what it sorts by itself",
};

export let model = null;
let isKnown;
/** Fulfilled once the model is known. */
export const modelKnown = new Promise((resolve) => (isKnown = resolve));

export const topK = () => Math.min(NUM_CLASSES_SHOWN, model.classes.length);

export async function learnModel() {
  try {
    model = await getModel();
    showModel();
    isKnown();
  } catch {
    byId("model-name").textContent = "The service does not answer";
    setTimeout(learnModel, 3000);
  }
}

/** The model may be replaced while the page is open. */
export function noticeVersion({ name, version }) {
  if (name === model.name && version === model.version) return;
  model = { ...model, name, version };
  learnModel();
}

function showModel() {
  byId("model-name").textContent = `${model.name} ${model.version}`;
  byId("model-open").disabled = false;
  byId("about-title").textContent = `Model ${model.name} ${model.version}`;
  byId("about-figures").replaceChildren(...figures());
  const facts = {
    Network: `${model.backbone}${taughtBy()}, ${count(model.classes.length, "class", "classes")}`,
    Review: reviewed(),
    "Out of scope": `farther than ${short(model.out_of_scope_threshold)} from the training data`,
    "Trained on": count(model.provenance.num_radiographs, "radiograph"),
    Made: model.provenance.created_at.slice(0, 10),
  };
  byId("about-facts").replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
  byId("about-classes").replaceChildren(...classes());
}

/** Thresholds of 1 are never reached. */
export const isNever = (threshold) => threshold >= 1;

/** Below which probability a person should look, in one line. */
function reviewed() {
  const reached = Object.values(model.review_thresholds).filter((threshold) => !isNever(threshold));
  if (!reached.length) return "always";
  const [low, high] = [percent(Math.min(...reached)), percent(Math.max(...reached))];
  return low === high ? `below ${low}` : `below ${low} to ${high}, by class`;
}

/** Names of the classes; the threshold of one appears when it is pointed at, and those that are always reviewed are marked. */
function classes() {
  return model.classes.map(({ label }, index) => {
    const threshold = model.review_thresholds[label];
    const text = nameOf(label) + (isNever(threshold) ? " (always reviewed)" : "") + (index < model.classes.length - 1 ? ", " : "");
    return element("span", { title: isNever(threshold) ? "Review: always" : `Review: below ${percent(threshold)}` }, text);
  });
}

/** Words about the larger network that has taught the one that answers here. */
function taughtBy() {
  return model.student_of ? ` taught by ${model.student_of}` : "";
}

/** Rows of what was measured on radiographs that the model had never seen; values with their 95 % interval. */
function figures() {
  const rows = Object.entries(PARTS).flatMap(([part, title]) => {
    const measured = (model.student_of ? model.metrics?.student : model.metrics)?.holdout?.[part];
    if (!measured) return [];
    const values = Object.entries(FIGURES).filter(([name]) => typeof measured[name]?.value === "number");
    return values.map(([name, words], index) => {
      const { value, low, high, n } = measured[name];
      const where = index ? "" : `${title}, ${count(measured.top_1?.n ?? n, "radiograph")}`;
      return element("tr", {},
        element("th", { scope: "row" }, where && element("small", {}, where), words),
        element("td", {}, percent(value), element("small", {}, `${percent(low)} to ${percent(high)}`)));
    });
  });
  return rows.length ? rows : [element("tr", {}, element("td", {}, "No figures have been published with this model."))];
}

// ---- Key -----------------------------------------------------------------------------------------------------------

onKeyNeeded((wasRefused) => {
  byId("key-text").textContent = wasRefused ? "This key is not accepted." : "This service asks for an API key.";
  byId("key").setAttribute("aria-invalid", String(wasRefused));
  show("key-form", true);
  byId("key").focus();
});

export function startModel() {
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const key = byId("key").value.trim();
    if (!/^[\x21-\x7e]+$/.test(key)) return void (byId("key-text").textContent = "A key has letters, digits and signs only.");
    byId("key").value = "";
    show("key-form", false);
    useKey(key);
  });
  byId("model-open").addEventListener("click", () => byId("about").showModal());
  learnModel();
}
