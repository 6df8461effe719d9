// A colour for each label, told apart by hue and by lightness, in either theme.

import { labelsInUse, store } from "./store.js";

const HUES = 12;
const GOLDEN = 5; // of 12: neighbours in rank are far apart in hue
const place = new Map(); // label -> rank when it was first seen; a label keeps its colour

const dark = matchMedia("(prefers-color-scheme: dark)");
export const isDark = () => dark.matches;
export const onTheme = (listener) => dark.addEventListener("change", listener);

function toRgb(lightness, chroma, hue) {
  // Ottosson 2020, "A perceptual color space for image processing"
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return linear.map((value) => {
    const light = Math.min(1, Math.max(0, value));
    return Math.round(255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055));
  });
}

/** `[r, g, b]` of a label; null for what is not decided. */
export function colourOf(label) {
  if (label === null || label === undefined) return null;
  if (label === "discard") return isDark() ? [92, 104, 112] : [120, 132, 140];
  if (label === "mixed") return isDark() ? [150, 140, 120] : [176, 164, 140];
  if (!place.has(label)) {
    for (const line of labelsInUse()) if (!place.has(line.label) && !["discard", "mixed"].includes(line.label)) place.set(line.label, place.size);
    if (!place.has(label)) place.set(label, place.size);
  }
  const rank = place.get(label);
  const layer = Math.floor(rank / HUES) % 3;
  const hue = 25 + (((rank * GOLDEN) % HUES) * 360) / HUES + layer * 15;
  const lightness = (isDark() ? [0.76, 0.6, 0.88] : [0.6, 0.42, 0.74])[layer];
  return toRgb(lightness, [0.15, 0.12, 0.1][layer], hue);
}

export const css = ([r, g, b], opacity = 1) => `rgb(${r} ${g} ${b} / ${opacity})`;

export const labelOfCluster = (id) => store.clusters.get(id)?.label ?? null;
