// The labelling page: the frame around the views. No dependency, nothing is loaded from elsewhere.

import { audit, startAudit } from "./audit.js";
import { get } from "./client.js";
import { conflicts, isOffline, refresh, resolve, startQueue, unsaved } from "./decisions.js";
import { announce, button, byId, count, element, key, number, percent, takesText } from "./dom.js";
import { map, startMap } from "./map.js";
import { naming, startNaming } from "./naming.js";
import { progressView, startProgress } from "./progress.js";
import { askReader, showHelp } from "./questions.js";
import { reading, startReading } from "./reading.js";
import { applyState, coverage, nameOf, onChange, store } from "./store.js";

const VIEWS = [
  { name: "name", title: "Name", view: naming },
  { name: "map", title: "Map", view: map },
  { name: "audit", title: "Audit", view: audit },
  { name: "reading", title: "Second reading", view: reading },
  { name: "progress", title: "Progress", view: progressView },
];
const REFRESH_AFTER_MILLISECONDS = 15_000;

let shown = null;
let refreshedAt = 0;
let ready = false; // whether there is anything to show

// ---- Views ---------------------------------------------------------------------------------------------------------

function go(name, argument = "") {
  const wanted = VIEWS.find((one) => one.name === name) ?? VIEWS[0];
  if (!ready) return history.replaceState(null, "", `#${wanted.name}`); // it begins there
  if (shown !== wanted) {
    shown?.view.leave();
    shown = wanted;
    for (const one of VIEWS) {
      byId(`view-${one.name}`).hidden = one !== wanted;
      const tab = byId(`tab-${one.name}`);
      if (one === wanted) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    document.title = `SAM-X labelling: ${wanted.title}`;
  }
  return wanted.view.enter(argument);
}

const fromAddress = () => {
  const [name, argument] = location.hash.slice(1).split("/");
  go(name || "name", argument);
};

function makeTabs() {
  byId("tabs").replaceChildren(...VIEWS.map((one, index) => {
    const tab = element("button", { type: "button", id: `tab-${one.name}`, className: "tab", onclick: () => go(one.name) }, one.title, key(`Alt+${index + 1}`));
    return tab;
  }));
}

// ---- Header and bars -----------------------------------------------------------------------------------------------

function showHeader() {
  const sum = coverage();
  byId("named").textContent = `${number(sum.named)} of ${number(sum.clusters)}`;
  byId("covered").textContent = `${percent(sum.covered / Math.max(1, sum.radiographs))} of radiographs`;
  byId("named-bar").style.width = `${(100 * sum.covered) / Math.max(1, sum.radiographs)}%`;
  byId("round").textContent = `Round ${store.round}`;
  byId("reader").replaceChildren(store.reader);
  byId("reader").setAttribute("aria-label", `Reader ${store.reader}. Change the reader`);
  const waiting = unsaved();
  const saved = byId("saved");
  saved.dataset.state = isOffline() ? "offline" : waiting ? "saving" : "saved";
  const words = isOffline() ? `Not saved: ${waiting}` : waiting ? "Saving …" : "Saved";
  if (saved.textContent !== words) saved.textContent = words;
}

let barsShown = "";
function showBars() {
  const signature = JSON.stringify([isOffline() && unsaved(), conflicts.map((one) => [one.id, one.detail])]);
  if (signature === barsShown) return;
  barsShown = signature;
  const bars = [];
  if (isOffline() && unsaved()) {
    bars.push(element("div", { className: "notice offline", aria: { role: "status" } },
      element("p", {}, element("strong", {}, `Not saved yet: ${unsaved()}. `),
        "The server does not answer. Go on; the decisions are kept in this browser and sent when it does.")));
  }
  for (const conflict of conflicts) {
    const { action, label, clusters = [] } = conflict.request;
    const mine = action === "name" ? `You: ${nameOf(label)}, ${clusters.length === 1 ? `cluster ${clusters[0]}` : count(clusters.length, "cluster")}.` : "";
    bars.push(element("div", { className: "notice conflict", aria: { role: "alert" } },
      element("p", {}, element("strong", {}, `${conflict.detail} `), mine),
      button("Keep theirs", "", () => resolve(conflict, false), "button quiet small"),
      button("Replace with mine", "", () => resolve(conflict, true), "button small")));
  }
  byId("bars").replaceChildren(...bars);
}

// ---- Keys ----------------------------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
  const types = takesText(event.target) && event.target.value !== "";
  if (event.repeat && (event.key === "Enter" || !types) && !event.key.startsWith("Arrow") && event.key !== "Tab") {
    event.preventDefault(); // a key that is held down decides once
  } else if (event.altKey && !event.ctrlKey && /^Digit[1-5]$/.test(event.code)) {
    event.preventDefault();
    go(VIEWS[Number(event.code.slice(-1)) - 1].name);
  } else if (event.key === "?" && !event.ctrlKey && !types && event.target.id !== "jump-to") {
    event.preventDefault();
    showHelp();
  } else {
    shown?.view.handleKey(event);
  }
});

// ---- Start ---------------------------------------------------------------------------------------------------------

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function untilAnswered(path) {
  for (;;) {
    try {
      return await get(path);
    } catch (error) {
      byId("bars").replaceChildren(element("div", { className: "notice offline", aria: { role: "status" } },
        element("p", {}, error.status ? error.message : "The server does not answer yet. Trying again …")));
      await pause(1500);
    }
  }
}

async function loadState() {
  applyState(await untilAnswered(`state?reader=${encodeURIComponent(store.reader)}`));
}

async function lookAgain() {
  if (document.hidden || performance.now() - refreshedAt < REFRESH_AFTER_MILLISECONDS) return;
  refreshedAt = performance.now();
  await refresh();
}

async function start() {
  makeTabs();
  store.run = await untilAnswered("run");
  byId("run-title").textContent = store.run.title;
  store.reader = await askReader();
  await loadState();
  startQueue();
  for (const begin of [startNaming, startMap, startAudit, startReading, startProgress]) begin();
  onChange(() => {
    showHeader();
    showBars();
  });
  showHeader();
  byId("bars").replaceChildren();
  showBars();
  byId("reader").addEventListener("click", async () => {
    store.reader = await askReader(true);
    announce(`Reader ${store.reader}`);
    await loadState();
    shown.view.enter("");
  });
  byId("help-open").addEventListener("click", showHelp);
  addEventListener("hashchange", fromAddress);
  document.addEventListener("visibilitychange", lookAgain);
  addEventListener("focus", lookAgain);
  ready = true;
  fromAddress();
  document.body.dataset.ready = "true";
}

start();
