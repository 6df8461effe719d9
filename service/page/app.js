// The page: radiographs go to POST /classify, answers are shown. No dependency, nothing is loaded from elsewhere.

import { showAnswer } from "./answer.js";
import { download, toCsv } from "./csv.js";
import { announce, byId, show, takesKeys } from "./dom.js";
import { clear, entries, isOpen, onChange, selected } from "./entries.js";
import { mayTryAgain } from "./failures.js";
import { ofDrop, ofInput } from "./files.js";
import { showList, startList, walkByKey } from "./list.js";
import { startModel } from "./model.js";
import { dropAll } from "./pictures.js";
import { again, cancel, enqueue } from "./queue.js";
import { openSummary } from "./summary.js";
import { showViewer, startViewer, toggle } from "./viewer.js";

function showAll(changed) {
  document.body.dataset.files = entries.length > 1 ? "many" : entries.length ? "one" : "none";
  for (const id of ["save", "clear"]) show(id, entries.length > 0);
  showList(changed);
  showViewer();
  showAnswer();
}

function take(files) {
  if (files.length) enqueue(files);
  else announce("There are no files to classify.");
}

// ---- Choosing and dropping -----------------------------------------------------------------------------------------

for (const id of ["choose", "choose-folder"]) {
  byId(id).addEventListener("change", ({ target }) => {
    take(ofInput(target));
    target.value = ""; // the same files may be chosen again
  });
}

let depth = 0; // dragenter and dragleave also come from children
const dragsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

function onDrag(type, begin) {
  document.addEventListener(type, (event) => {
    if (!dragsFiles(event)) return;
    begin(event);
    document.body.classList.toggle("over", depth > 0);
  });
}
onDrag("dragenter", () => (depth += 1));
onDrag("dragleave", () => (depth -= 1));
onDrag("dragover", (event) => event.preventDefault());
onDrag("drop", async (event) => {
  event.preventDefault(); // or the browser would open the file
  depth = 0;
  try {
    take(await ofDrop(event.dataTransfer));
  } catch {
    announce("The folder cannot be read.");
  }
});

// ---- Buttons and keys ----------------------------------------------------------------------------------------------

const onClick = (id, act) => byId(id).addEventListener("click", act);
onClick("retry", () => again(selected()));
onClick("retry-all", () => entries.filter(mayTryAgain).forEach(again));
onClick("cancel", cancel);
onClick("summary-open", openSummary);
onClick("save", () => download("samx_results.csv", toCsv(entries)));
onClick("clear", () => {
  cancel();
  dropAll();
  clear();
  byId("choose").focus();
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (takesKeys(event.target)) return;
  const letter = event.key.toLowerCase();
  if (walkByKey(event.key)) event.preventDefault();
  else if (letter === "h") toggle("heat");
  else if (letter === "b") toggle("box");
});

addEventListener("beforeunload", (event) => {
  if (entries.some(isOpen)) event.preventDefault();
});

onChange(showAll);
startList();
startViewer();
startModel();
