// What went wrong with a file, in plain words.

import { size } from "./dom.js";
import { model } from "./model.js";

const BY_CODE = {
  empty_file: () => ["The file is empty", "It has no content. Was it copied completely?"],
  body_too_large: () => ["Too large", `The service takes files up to ${size(model.max_body_bytes)}.`],
  file_gone: () => ["The file cannot be read", "It was moved, deleted or changed since it was chosen."],
  no_answer: () => ["The service does not answer", "Is it running? The file can be tried again."],
};
const BY_STATUS = {
  400: ({ message }) => ["This could not be sent", message],
  408: () => ["The upload took too long", "Check the connection to the server and try again."],
  413: ({ message }) => ["Too large", message],
  415: () => ["Not a radiograph file", "This is not DICOM, PNG, JPEG or TIFF, whatever its name says."],
  422: ({ message }) => ["This file cannot be used", message],
  429: () => ["The service is busy", "It did not get to this file. Try again later."],
  503: () => ["The service is busy", "It did not get to this file in time. Try again later."],
};

/** A title and a text. */
export function explain(entry) {
  if (entry.state === "cancelled") return ["Cancelled", "This file has not been classified."];
  const words = BY_CODE[entry.problem.code] ?? BY_STATUS[entry.problem.status];
  return words?.(entry.problem) ?? ["The service failed", "Its log tells more."];
}

/** Whether the same file may fare better another time. */
export function mayTryAgain({ state, problem }) {
  return state === "cancelled" || (state === "refused" && ![400, 413, 415, 422].includes(problem.status));
}
