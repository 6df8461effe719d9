// Questions to the reader: a confirmation, the initials, the list of keys.

import { byId, element, key } from "./dom.js";

/** True if the reader says yes. */
export function ask(title, text, yes) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((settle) => {
    dialog.addEventListener("close", () => settle(dialog.returnValue === "yes"), { once: true });
  });
}

const STORED = "samx.reader";

/** The reader's initials; asked for at the first visit. */
export function askReader(change = false) {
  const stored = localStorage.getItem(STORED);
  if (stored && !change) return Promise.resolve(stored);
  const dialog = byId("who");
  const input = byId("initials");
  input.value = stored ?? "";
  dialog.showModal();
  input.select();
  const needed = (event) => {
    if (!stored) event.preventDefault(); // nothing can be decided by nobody
  };
  dialog.addEventListener("cancel", needed);
  return new Promise((settle) => {
    const closed = () => {
      const value = input.value.trim().toUpperCase();
      if (!value && !stored) return dialog.showModal(); // a browser closes on the second Escape all the same
      dialog.removeEventListener("cancel", needed);
      dialog.removeEventListener("close", closed);
      const reader = dialog.returnValue === "submitted" && value ? value : stored;
      localStorage.setItem(STORED, reader);
      return settle(reader);
    };
    dialog.returnValue = stored ? "" : "submitted";
    byId("who-form").onsubmit = (event) => {
      event.preventDefault();
      dialog.close("submitted");
    };
    dialog.addEventListener("close", closed);
  });
}

const KEYS = {
  "Name": [
    ["A–Z", "type a label; Up and Down choose, Enter takes"],
    ["Enter", "take the suggestion, when nothing is typed"],
    ["1–5", "take this suggestion"],
    ["Space", "skip; it comes back at the end"],
    ["=", "the same as last"],
    ["Del", "discard: not musculoskeletal"],
    ["-", "mixed: left out"],
    ["/", "split; then 2–9 and Enter"],
    ["+", "group; then 1–9 take rows out, Enter names the rest"],
    ["← →", "back and next"],
    ["[ ]", "view and side"],
    ["Ctrl+Z", "undo; Ctrl+Y redo"],
  ],
  "Radiograph": [
    ["Drag", "window across, level up and down"],
    ["R", "reset"], ["I", "invert"], ["+ -", "larger, smaller"], ["← →", "previous, next"], ["M", "move out to a label"], ["Esc", "close"],
  ],
  "Map": [
    ["Arrows", "to the nearest cluster"], ["Space", "select it, or not"], ["A–Z, 1–5", "a label for all selected"],
    ["Shift+drag", "lasso"], ["+ - 0", "larger, smaller, whole"], ["Esc", "select nothing"],
  ],
  "Audit": [
    ["Enter, 1", "the alternative is right"], ["Space, 2", "the cluster’s label is right"], ["Del", "discard"],
    ["-", "leave out"], ["A–Z", "another label"], ["→", "skip"],
  ],
  "Everywhere": [["Alt+1–5", "views"], ["?", "this list"], ["Tab", "every control"], ["Esc", "leave, clear"]],
};

export function showHelp() {
  byId("help-text").replaceChildren(...Object.entries(KEYS).map(([name, lines]) =>
    element("section", {}, element("h3", {}, name), element("dl", { className: "keys" },
      ...lines.flatMap(([shortcut, words]) => [element("dt", {}, key(shortcut)), element("dd", {}, words)])))));
  for (const shown of byId("help-text").querySelectorAll("kbd")) shown.removeAttribute("aria-hidden");
  byId("help").showModal();
}
