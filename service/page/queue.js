// What waits is classified, a few files at a time, in the order in which it came; the one that is looked at first.

import { classify, Problem } from "./client.js";
import { add, entries, isOpen, selected, update } from "./entries.js";
import { model, modelKnown, noticeVersion, topK } from "./model.js";
import { settle } from "./pictures.js";

const LANES = 3; // requests under way; the pictures of the one that is looked at are a fourth
let busyLanes = 0;
let sending = new AbortController();

/** Take files on. */
export function enqueue(files) {
  add(files);
  work();
}

/** Try a file again that was refused or cancelled. */
export function again(entry) {
  update(entry, { state: "waiting", problem: null });
  work();
}

/** Stop; what has an answer keeps it. */
export function cancel() {
  const waiting = entries.filter(isOpen);
  sending.abort();
  sending = new AbortController();
  for (const entry of waiting) update(entry, { state: "cancelled", isPaused: false });
}

function work() {
  while (busyLanes < LANES) {
    const entry = next();
    if (!entry) return;
    busyLanes += 1;
    send(entry, sending.signal).finally(() => {
      busyLanes -= 1;
      work();
    });
  }
}

function next() {
  const looked = selected();
  return looked?.state === "waiting" ? looked : entries.find((entry) => entry.state === "waiting");
}

async function send(entry, signal) {
  update(entry, { state: "sending", isPaused: false });
  try {
    await modelKnown;
    refuseTooLarge(entry.file);
    const begun = performance.now();
    const onPause = () => update(entry, { isPaused: true });
    const gradCam = entry === selected(); // who looks at it wants to see it
    const answer = await classify(entry.file, { topK: topK(), gradCam, signal, onPause });
    if (signal.aborted) return;
    noticeVersion(answer.model);
    settle(entry, answer, { state: "done", isPaused: false, seconds: (performance.now() - begun) / 1000 });
  } catch (problem) {
    if (!signal.aborted) update(entry, { state: "refused", isPaused: false, problem });
  }
}

function refuseTooLarge(file) {
  if (file.size > model.max_body_bytes) throw new Problem(413, { code: "body_too_large" });
}
