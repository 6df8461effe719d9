// Requests to the service: with the key if one is needed, tried again when the service is busy or out of reach.

const ATTEMPTS_UNANSWERED = 4;
const LONGEST_PAUSE_SECONDS = 60;

/** The service answered, but not with what was asked for; `status` 0: nobody answered. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? "");
    this.status = status;
    this.code = body.code ?? "";
  }
}

let apiKey = ""; // in the memory of this tab only
let resumeAt = 0; // when the service wants to be asked again, for all requests
let askForKey = () => {};
let waitingForKey = []; // requests that go on once there is another key

export const onKeyNeeded = (ask) => (askForKey = ask);

/** Go on with this key where one was missing. */
export function useKey(key) {
  apiKey = key;
  for (const goOn of waitingForKey.splice(0)) goOn();
}

function aborted(signal) {
  return signal.reason ?? new DOMException("cancelled", "AbortError");
}

/** Wait for `begin(done)` to call `done`, unless it is cancelled first. */
function unlessCancelled(signal, begin) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted(signal));
    const cancel = () => reject(aborted(signal));
    signal?.addEventListener("abort", cancel, { once: true });
    begin(() => {
      signal?.removeEventListener("abort", cancel);
      resolve();
    });
  });
}

async function untilResumed(signal) {
  for (let left = resumeAt - Date.now(); left > 0; left = resumeAt - Date.now()) {
    await unlessCancelled(signal, (done) => setTimeout(done, left));
  }
}

function pauseAll(seconds) {
  const jitter = 1 + 0.2 * Math.random(); // so that pages that were refused together do not come back together
  resumeAt = Math.max(resumeAt, Date.now() + 1000 * Math.min(seconds, LONGEST_PAUSE_SECONDS) * jitter);
}

/** Seconds as RFC 9110 (10.2.3) lets them be said: a number or a date. */
export function retryAfterSeconds(value, now = Date.now()) {
  if (/^\d+$/.test(value ?? "")) return Number(value);
  const date = Date.parse(value ?? "");
  return Number.isNaN(date) ? null : Math.max(0, (date - now) / 1000);
}

async function problemOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // a proxy answers in its own words
  }
  return new Problem(response.status, body);
}

async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false; // moved, deleted or changed since it was chosen
  }
}

/**
 * The JSON answer to a request.
 *
 * @param onPause told each time when the service is busy, and has to be asked again.
 * @throws {Problem} The service refuses, or does not answer several times.
 */
async function ask(path, { file = null, signal, onPause = () => {} } = {}) {
  const options = { signal };
  if (file) Object.assign(options, { method: "POST", body: file });
  for (let unanswered = 0; ; ) {
    await untilResumed(signal);
    const usedKey = apiKey;
    const headers = usedKey ? { "X-API-Key": usedKey } : {};
    if (file) headers["Content-Type"] = "application/octet-stream";
    let response;
    try {
      response = await fetch(path, { ...options, headers });
      if (response.ok) return await response.json();
    } catch (error) {
      if (signal?.aborted) throw error;
      if (file && !(await isReadable(file))) throw new Problem(0, { code: "file_gone" });
      unanswered += 1;
      if (unanswered === ATTEMPTS_UNANSWERED) throw new Problem(0, { code: "no_answer" });
      pauseAll(2 ** (unanswered - 1));
      onPause();
      continue;
    }
    const problem = await problemOf(response);
    if (response.status === 401) {
      onPause();
      if (usedKey === apiKey) {
        askForKey(usedKey !== "");
        await unlessCancelled(signal, (done) => waitingForKey.push(done));
      }
    } else if (response.status === 503 || response.status === 429) {
      unanswered += problem.code === "deadline_exceeded" ? 1 : 0;
      if (unanswered === ATTEMPTS_UNANSWERED) throw problem;
      pauseAll(retryAfterSeconds(response.headers.get("Retry-After")) ?? 2);
      onPause();
    } else {
      throw problem;
    }
  }
}

export const getModel = () => ask("model");

export const classify = (file, { topK, gradCam, ...options }) =>
  ask(`classify?grad_cam=${gradCam}&top_k=${topK}`, { file, ...options });
