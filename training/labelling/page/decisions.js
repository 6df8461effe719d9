// Decisions on their way to the server: sent one after the other, kept in the browser until they are saved.

import { get, isPassing, post, Problem } from "./client.js";
import { announce } from "./dom.js";
import { applyAnswer, applyEarly, applyState, changed, store, takeBack } from "./store.js";

const STALE_MILLISECONDS = 180_000; // a hidden tab's timers may be slowed to one a minute
const LONGEST_WAIT_SECONDS = 8;

let items = []; // {id, request, before, settle, tried}
let taken = []; // decisions taken back before they were sent, for redo
let inFlight = false;
let failures = 0;
let timer = 0;
let stored = false; // whether this page has a record in the browser's storage
export const conflicts = []; // {id, request, detail}: the reader has to say which one stands

export const unsaved = () => items.length;
export const isOffline = () => failures > 0;

// ---- In the browser's storage --------------------------------------------------------------------------------------

const prefix = () => `samx.unsaved.${store.run.title}.`;
let ownKey = "";

/** Keep what is not saved. Each open page has a record of its own; a page that is gone leaves it to the next. */
function keep(released = false) {
  if (!ownKey) return;
  const record = {
    alive: Date.now(),
    released,
    items: items.map(({ id, request }) => ({ id, request })),
    conflicts: conflicts.map(({ id, request, detail }) => ({ id, request, detail })),
  };
  try {
    stored = record.items.length + record.conflicts.length > 0;
    if (stored) localStorage.setItem(ownKey, JSON.stringify(record));
    else localStorage.removeItem(ownKey);
  } catch {
    stored = false; // full or forbidden: the queue lives on in this page
  }
}

function adopt() {
  const keys = Object.keys(localStorage).filter((name) => name.startsWith(prefix()) && name !== ownKey);
  for (const name of keys) {
    const record = JSON.parse(localStorage.getItem(name));
    if (!record || (!record.released && Date.now() - record.alive < STALE_MILLISECONDS)) continue;
    localStorage.removeItem(name);
    for (const item of record.items) items.push({ ...item, before: applyEarly(item.request), tried: true });
    conflicts.push(...record.conflicts);
  }
  keep();
  send();
}

export function startQueue() {
  ownKey = `${prefix()}${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
  adopt();
  addEventListener("pagehide", () => keep(true));
  addEventListener("pageshow", (event) => {
    if (event.persisted) keep();
  });
  addEventListener("online", send);
  setInterval(() => {
    if (items.length || conflicts.length) keep();
    adopt();
  }, 20_000);
}

// ---- Sending -------------------------------------------------------------------------------------------------------

/** Take a decision. It is shown at once; the promise gives the server's answer, or null if it was refused. */
export function decide(request) {
  const id = crypto.getRandomValues(new Uint32Array(3)).join("-"); // sent again, it is not decided twice
  const whole = { reader: store.reader, seen: store.number, seconds: null, shown: 0, force: false, ...request, id };
  if (!["undo", "redo"].includes(request.action)) taken = [];
  return new Promise((settle) => {
    items.push({ id, request: whole, before: applyEarly(whole), settle, tried: false });
    keep();
    changed();
    send();
  });
}

async function send() {
  if (inFlight || !items.length) return;
  if (stored && localStorage.getItem(ownKey) === null) { // this page slept so long that another took over its decisions
    items = [];
    refresh();
    return;
  }
  clearTimeout(timer);
  inFlight = true;
  const item = items[0];
  item.tried = true; // from here on the server may have it, whatever becomes of the answer
  try {
    const answer = await post("decisions", item.request);
    finish(item);
    learn(answer);
    item.settle?.(answer);
    if (failures) await afterSilence();
  } catch (error) {
    if (isPassing(error)) {
      failures += 1;
      timer = setTimeout(send, 1000 * Math.min(LONGEST_WAIT_SECONDS, 2 ** (failures - 1)));
    } else {
      refused(item, error);
    }
  }
  inFlight = false;
  changed();
  if (items.length && !failures) send();
}

/** What the server says, with what it does not know yet back on top. */
function learn(answer) {
  applyAnswer(answer);
  for (const item of items) item.before = applyEarly(item.request);
}

function finish(item) {
  items = items.filter((other) => other !== item);
  keep();
}

async function afterSilence() {
  failures = 0;
  announce("The server answers again.");
  await refresh();
}

function refused(item, error) {
  failures = 0;
  finish(item);
  takeBack(item.before ?? []);
  learn(error.body);
  if (error instanceof Problem && error.code === "conflict") {
    conflicts.push({ id: item.id, request: item.request, detail: error.message });
    keep();
  } else {
    if (item.request.radiographs) for (const position of item.request.radiographs) store.corrections.delete(position);
    announce(error.message);
    refresh();
  }
  item.settle?.(null);
}

/** The state anew, with what is not saved yet put back on top. */
export async function refresh() {
  try {
    const state = await get(`state?reader=${encodeURIComponent(store.reader)}`);
    applyState(state);
    for (const item of items) item.before = applyEarly(item.request);
  } catch {
    // the next request will tell
  }
}

/** Answer a conflict: the reader's own decision replaces the other one, or is dropped. */
export function resolve(conflict, replace) {
  conflicts.splice(conflicts.indexOf(conflict), 1);
  keep();
  changed();
  if (replace) return decide({ ...conflict.request, seen: store.number, force: true });
  return null;
}

// ---- Undo ----------------------------------------------------------------------------------------------------------

/** Take back the reader's last decision: the last unsent one, or else the last saved one. Gives the clusters concerned. */
export async function undo(entry = null) {
  const last = items.at(-1);
  if (entry === null && last && !last.tried) {
    finish(last);
    takeBack(last.before);
    taken.push(last.request);
    last.settle?.(null);
    if (!items.length) failures = 0;
    return last.request.clusters ?? [];
  }
  const answer = await decide(entry === null ? { action: "undo" } : { action: "undo", entry });
  return concerned(answer);
}

export async function redo() {
  const request = taken.pop();
  if (request) {
    const rest = taken;
    decide(request);
    taken = rest;
    return request.clusters ?? [];
  }
  return concerned(await decide({ action: "redo" }));
}

function concerned(answer) {
  if (!answer) return null;
  const mine = answer.history.filter((entry) => entry.reader === store.reader);
  for (const entry of mine) for (const position of entry.radiographs) store.corrections.delete(position);
  const touched = (answer.clusters ?? []).map((row) => row.id);
  const named = mine.flatMap((entry) => entry.clusters);
  return [...named.filter((id) => store.clusters.has(id)), ...touched];
}
