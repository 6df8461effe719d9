// Elements, formats and announcements: what every view writes with.

export const byId = (id) => document.getElementById(id);

/** An element with properties (`data`, `aria` and `style` may be objects) and children. */
export function element(name, properties = {}, ...children) {
  const { data = {}, aria = {}, style = {}, ...plain } = properties;
  const created = Object.assign(document.createElement(name), plain);
  Object.assign(created.dataset, data);
  Object.assign(created.style, style);
  for (const [key, value] of Object.entries(aria)) created.setAttribute(key === "role" ? key : `aria-${key}`, value);
  created.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return created;
}

export const key = (text) => element("kbd", { aria: { hidden: "true" } }, text);

/** A button that shows its key. */
export function button(text, shortcut, onClick, className = "button quiet") {
  const made = element("button", { type: "button", className, onclick: onClick }, element("span", {}, text));
  if (shortcut) made.append(key(shortcut));
  return made;
}

/** Share of a whole as a bar; decoration only, the number stands beside it. */
export function bar(share, className = "") {
  const filled = element("i", { style: { width: `${100 * Math.min(1, Math.max(0, share))}%` } });
  return element("span", { className: `bar ${className}`, aria: { hidden: "true" } }, filled);
}

export const number = (value) => value.toLocaleString("en");
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

export function percent(share) {
  if (share > 0.995 && share < 1) return "> 99 %";
  if (share > 0 && share < 0.005) return "< 1 %";
  return `${Math.round(100 * share)} %`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

let toSay = [];

/** Say to screen readers, what comes in one frame together; unless `quiet`, show it for a moment too. */
export function announce(text, { quiet = false } = {}) {
  if (!toSay.length) {
    byId("announcement").textContent = ""; // so that the same words are said again
    requestAnimationFrame(() => {
      byId("announcement").textContent = toSay.join(" ");
      toSay = [];
    });
  }
  toSay.push(text);
  if (quiet) return;
  const shown = byId("toast");
  shown.textContent = text;
  shown.classList.remove("shown");
  void shown.offsetWidth; // so that the same text fades in again
  shown.classList.add("shown");
}

/** True where letters belong to the element that has the focus. */
export const takesText = (target) =>
  target instanceof HTMLElement &&
  (target.isContentEditable || target.matches("textarea, select, input:not([type=radio], [type=checkbox], [type=range])"));

/** Whether a key takes back (false) or does again (true); null for any other key. */
export function travels(event) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return null;
  const letter = event.key.toLowerCase();
  if (letter === "y") return true;
  return letter === "z" ? event.shiftKey : null;
}

export const isControl = (target) =>
  target instanceof HTMLElement && target.matches("button, a[href], summary, input[type=radio], input[type=checkbox], select");

/** The frame in which what was just placed is on the screen. */
export const painted = () =>
  new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
