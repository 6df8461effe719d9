// Elements, words and numbers: what every part of the page writes with.

export const byId = (id) => document.getElementById(id);

/** An element with properties (`data` and `aria` may be objects) and children. */
export function element(name, properties = {}, ...children) {
  const { data = {}, aria = {}, ...plain } = properties;
  const created = Object.assign(document.createElement(name), plain);
  Object.assign(created.dataset, data);
  for (const [key, value] of Object.entries(aria)) created.setAttribute(key === "role" ? key : `aria-${key}`, value);
  created.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return created;
}

/** Share of a whole as a bar; decoration only, the number stands beside it. */
export function bar(...shares) {
  const parts = shares.map(([share, kind = ""]) => {
    const part = element("i", { data: { kind } });
    part.style.width = `${100 * share}%`;
    return part;
  });
  return element("span", { className: "bar", aria: { hidden: "true" } }, ...parts);
}

export const icon = (id, path) => byId(id).setAttribute("d", path);

export function show(id, visible) {
  byId(id).hidden = !visible;
}

/** Say to screen readers. */
export function announce(text) {
  byId("announcement").textContent = text;
}

export const number = (value) => value.toLocaleString("en");
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;
export const short = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });

export function percent(share) {
  if (share > 0.9995 && share < 1) return "> 99.9 %";
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

export const size = (bytes) =>
  bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} kB` : `${(bytes / 1024 / 1024).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

/** The name of a class for people. */
export function nameOf(label) {
  const words = label.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** True where arrow keys and letters belong to the element that has the focus. */
export const takesKeys = (target) =>
  target instanceof HTMLElement && target.matches("input:not([type=checkbox], [type=file]), select, textarea");
