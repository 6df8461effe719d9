// The box a label is typed into, with the list below it: suggestions while it is empty, matching labels when it is not.

import { complete, exists } from "./completion.js";
import { announce, bar, count, element, key, percent } from "./dom.js";
import { asLabel, nameOf } from "./store.js";

let made = 0;

/**
 * A combobox of labels.
 *
 * Options: `label` (what it is for), `placeholder`, `onChoose({label, view, laterality, source})`, `digits` (whether
 * suggestions are taken by number), `marked` (whether Enter alone takes the first suggestion). Returns `{root, input, suggest, clear, handleKey, focus}`.
 */
export function createLabelBox({ label, placeholder = "Type a label", onChoose, digits = true, empty = "", marked = true }) {
  made += 1;
  const listId = `labels-${made}`;
  const inputId = `label-${made}`;
  const input = element("input", {
    id: inputId, type: "text", autocomplete: "off", spellcheck: false, placeholder, maxLength: 64, className: "label-input",
    aria: { role: "combobox", autocomplete: "list", expanded: "true", controls: listId, haspopup: "listbox" },
  });
  const heading = element("p", { className: "list-heading" });
  const list = element("ul", { id: listId, className: "labels", aria: { role: "listbox", label: "Labels" } });
  const root = element("div", { className: "label-box" },
    element("label", { htmlFor: inputId, className: "list-heading" }, label), input, heading, list);

  let suggestions = [];
  let options = []; // what Enter or a click would take: {label, view, laterality, source, fresh}
  let at = -1;

  function mark(index) {
    at = index;
    [...list.children].forEach((item, position) => {
      item.setAttribute("aria-selected", String(position === at));
      if (position === at) item.scrollIntoView({ block: "nearest" });
    });
    if (at >= 0 && list.children[at]) input.setAttribute("aria-activedescendant", list.children[at].id);
    else input.removeAttribute("aria-activedescendant");
  }

  function item(index, ...content) {
    const made = element("li", { id: `${listId}-${index}`, aria: { role: "option", selected: "false" } }, ...content);
    made.addEventListener("mousedown", (event) => event.preventDefault()); // the box keeps the focus
    made.addEventListener("click", () => choose(index));
    return made;
  }

  /** View and side that come with a suggestion; they are recorded with it, so they are shown. */
  function sideOf({ view, laterality }) {
    const words = [view, laterality].filter(Boolean).join(" ");
    return words ? element("small", {}, ` ${words}`) : null;
  }

  function showSuggestions() {
    heading.textContent = suggestions.length ? "Suggestions" : empty;
    options = suggestions.map((one) => ({ view: "", laterality: "", ...one, source: "suggestion" }));
    list.replaceChildren(
      ...suggestions.map((one, index) =>
        item(index,
          digits ? key(String(index + 1)) : null,
          element("span", { className: "option-name" }, nameOf(one.label), sideOf(one)),
          one.confidence === undefined ? null : element("span", { className: "option-share" }, percent(one.confidence)),
          one.confidence === undefined ? null : bar(one.confidence),
          one.sources?.length ? element("span", { className: "option-why" }, one.sources.join(" · ")) : null)),
    );
    mark(options.length && marked ? 0 : -1);
  }

  function showMatches() {
    const found = complete(input.value);
    options = found.map((entry) => ({ label: entry.label, view: "", laterality: "", source: "typed" }));
    const items = found.map((entry, index) =>
      item(index,
        element("span", { className: "option-name" }, entry.label === "discard" || entry.label === "mixed" ? entry.name : nameOf(entry.label)),
        element("span", { className: "option-why" }, describe(entry))));
    const fresh = asLabel(input.value);
    if (fresh && !exists(input.value)) {
      options.push({ label: fresh, view: "", laterality: "", source: "typed", fresh: true });
      items.push(item(options.length - 1,
        element("span", { className: "option-name new" }, `New label “${fresh}”`),
        element("span", { className: "option-why" }, found.length ? "Take it with Down and Enter" : "No label matches. Enter twice makes it.")));
    }
    heading.textContent = found.length ? "Matching labels" : "No label matches";
    list.replaceChildren(...items);
    mark(found.length ? 0 : -1); // a new label is never taken by one Enter
  }

  function describe(entry) {
    const facts = [];
    if (entry.body_part_examined) facts.push(`DICOM ${entry.body_part_examined}`);
    if (entry.own) facts.push("own label");
    if (entry.clusters) facts.push(count(entry.clusters, "cluster"));
    return facts.join(" · ");
  }

  function show() {
    if (input.value.trim()) showMatches();
    else showSuggestions();
  }

  function choose(index) {
    const option = options[index];
    if (!option || onChoose(option) === false) return; // not taken: what was typed stays
    input.value = "";
  }

  function handleEnter() {
    if (at >= 0) choose(at);
    else if (!input.value.trim()) {
      announce(options.length ? "Type a label, or choose a suggestion." : "Nothing is suggested. Type a label.");
    } else if (options.length) {
      mark(options.length - 1);
      announce("No label matches. Press Enter again to make a new label.");
    }
  }

  /** Take the key if it is for the list; true if it was. */
  function handleKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return false;
    const typed = input.value.trim() !== "";
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (options.length) mark(at < 0 && step < 0 ? options.length - 1 : (at + step + options.length) % options.length);
    } else if (event.key === "Enter") {
      handleEnter();
    } else if (event.key === "Escape" && typed) {
      clear();
    } else if (digits && !typed && /^[1-5]$/.test(event.key)) {
      choose(Number(event.key) - 1);
    } else {
      return false;
    }
    event.preventDefault();
    return true;
  }

  function clear() {
    input.value = "";
    show();
  }

  input.addEventListener("input", show);

  return {
    root,
    input,
    clear,
    handleKey,
    isEmpty: () => input.value.trim() === "",
    suggest(found) {
      suggestions = found;
      show();
    },
    /** The box gets the focus, unless that would open a keyboard on the screen. */
    focus() {
      if (!matchMedia("(pointer: coarse)").matches) input.focus({ preventScroll: true });
    },
  };
}
