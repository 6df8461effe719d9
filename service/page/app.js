// The page: one radiograph goes to POST /classify, the answer is shown. No dependency, nothing is loaded from elsewhere.

const NUM_CLASSES_SHOWN = 5;
const byId = (id) => document.getElementById(id);

const ICONS = {
  accept: "M6.5 12.5l4 4L17.5 8.5",
  review: "M12 6v7M12 17.5v.01",
  out_of_scope: "M7.5 7.5l9 9M16.5 7.5l-9 9",
};
const TAG_ICONS = { true: ICONS.accept, false: ICONS.out_of_scope, null: "M6 12h12" };

let model = null; // answer of GET /model, once it has come
let sending = null; // AbortController of the request under way
let shownFile = null;

const inWords = (label) => {
  const words = label.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
};

const percent = (probability) => {
  if (probability > 0.9995 && probability < 1) return "> 99.9 %";
  if (probability > 0 && probability < 0.0005) return "< 0.1 %";
  return `${(100 * probability).toFixed(1)} %`;
};

const size = (bytes) =>
  bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} kB` : `${(bytes / 1024 / 1024).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

const short = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });

function show(id, visible) {
  byId(id).hidden = !visible;
}

function element(name, properties = {}, ...children) {
  const created = Object.assign(document.createElement(name), properties);
  created.append(...children);
  return created;
}

// ---- Model ---------------------------------------------------------------------------------------------------------

async function learnModel() {
  try {
    const response = await fetch("model");
    if (!response.ok) throw new Error(String(response.status));
    model = await response.json();
    byId("model").textContent = `Model: ${model.name} ${model.version}, ${model.classes.length} classes`;
  } catch {
    byId("model").textContent = "Model: not ready yet";
    setTimeout(learnModel, 2000);
  }
}

// ---- Sending -------------------------------------------------------------------------------------------------------

async function classify(file) {
  sending?.abort();
  const mine = new AbortController();
  sending = mine;
  shownFile = file;
  showProgress(file);
  const begun = performance.now();
  try {
    if (model && file.size > model.max_body_bytes) {
      throw { status: 413, code: "body_too_large" };
    }
    const topK = model ? Math.min(NUM_CLASSES_SHOWN, model.classes.length) : 1;
    const response = await fetch(`classify?grad_cam=true&top_k=${topK}`, {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: file,
      signal: mine.signal,
    });
    const answer = await response.json();
    if (!response.ok) throw answer;
    showAnswer(answer, file, performance.now() - begun);
  } catch (problem) {
    if (mine.signal.aborted) return; // another file has taken its place
    showFailure(problem);
  } finally {
    if (sending === mine) sending = null;
  }
}

function take(files) {
  if (files.length === 1) {
    classify(files[0]);
  } else if (files.length > 1) {
    sending?.abort();
    shownFile = null;
    showFailure({ status: 400, code: "several_files" });
  }
}

// ---- Showing -------------------------------------------------------------------------------------------------------

function showProgress(file) {
  show("invitation", false);
  show("images", false);
  show("controls", false);
  show("progress", true);
  show("guide", false);
  show("failure", false);
  show("result", false);
  byId("progress-text").textContent = `Reading ${file.name} …`;
  byId("announcement").textContent = "Reading the radiograph.";
}

function showAnswer(answer, file, milliseconds) {
  show("progress", false);
  showImages(answer.grad_cam);
  showDecision(answer);
  byId("classes").replaceChildren(...answer.classes.map(classRow));
  byId("result").classList.toggle("distrusted", answer.decision === "out_of_scope");
  byId("classes-caption").textContent =
    answer.decision === "out_of_scope" ? "Nearest classes, not to be relied on" : "Most probable classes";
  showTag(answer);
  showFacts(answer, file, milliseconds);
  show("result", true);
  byId("choose-label").textContent = "Choose another file";
  const [best] = answer.classes;
  byId("announcement").textContent =
    `${byId("decision-title").textContent}. ${inWords(best.label)}, ${percent(best.probability)}.`;
}

function showDecision(answer) {
  const [best] = answer.classes;
  const name = inWords(best.label);
  const threshold = model ? ` (its threshold is ${percent(model.review_threshold)})` : "";
  const [title, text] = {
    accept: [name, "Accept: the model is sure enough to sort this by itself."],
    review: [
      `Review: perhaps ${name.toLowerCase()}`,
      `The model is not sure enough to sort this by itself${threshold}. A person should decide.`,
    ],
    out_of_scope:
      best.label === "not_musculoskeletal"
        ? ["Not musculoskeletal", "Out of scope: the model recognises something that it does not sort."]
        : ["Out of scope", "This resembles nothing that the model was trained on. A person should look."],
  }[answer.decision];
  byId("decision").dataset.decision = answer.decision;
  byId("decision-icon").setAttribute("d", ICONS[answer.decision]);
  byId("decision-title").textContent = title;
  byId("decision-text").textContent = text;
}

function classRow(entry) {
  const codes = [];
  if (entry.body_part_examined) codes.push(`DICOM\u00a0${entry.body_part_examined}`);
  if (entry.code) codes.push(`SNOMED\u00a0CT\u00a0${entry.code.value}`);
  const filled = element("i");
  filled.style.width = `${100 * entry.probability}%`;
  const bar = element("span", { className: "bar" }, filled);
  bar.setAttribute("aria-hidden", "true");
  const heading = element("th", { scope: "row" }, inWords(entry.label));
  if (codes.length) heading.append(element("span", { className: "codes" }, codes.join(" · ")));
  const value = element("td", {}, element("span", { className: "percent" }, percent(entry.probability)), bar);
  return element("tr", {}, heading, value);
}

function showTag({ tag, radiograph, classes: [best], decision }) {
  const term = tag.body_part_examined;
  const comparable = decision !== "out_of_scope" || best.label === "not_musculoskeletal";
  const agrees = comparable ? tag.agrees : null;
  const unknown =
    radiograph.format === "dicom"
      ? "Body Part Examined in the file is empty or not a known term."
      : `A ${radiograph.format.toUpperCase()} file carries no DICOM tag to compare with.`;
  const text = {
    true: `The DICOM tag${term ? ` ${term}` : ""} agrees.`,
    false: `The DICOM tag${term ? ` says ${term} and` : ""} does not agree: one of the two is wrong.`,
    null: term ? `The DICOM tag says ${term}; there is nothing to compare it with.` : unknown,
  }[agrees];
  byId("tag").dataset.agrees = String(agrees);
  byId("tag-icon").setAttribute("d", TAG_ICONS[agrees]);
  byId("tag-text").textContent = text;
}

function showFacts({ radiograph, out_of_scope_score: score }, file, milliseconds) {
  const limit = model ? `; out of scope above ${short(model.out_of_scope_threshold)}` : "";
  const facts = {
    File: `${file.name}, ${size(file.size)}`,
    Read: `${radiograph.format.toUpperCase()}, ${radiograph.columns} × ${radiograph.rows} pixels${radiograph.was_negative ? ", a negative, inverted" : ""}`,
    Distance: `${short(score)} from the training data${limit}`,
    Time: `${(milliseconds / 1000).toFixed(milliseconds < 10000 ? 2 : 0)} s`,
  };
  const rows = Object.entries(facts).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
  byId("facts").replaceChildren(...rows);
}

function showImages(heatMap) {
  if (!heatMap) return;
  const plain = `data:image/png;base64,${heatMap.image_png_base64}`;
  byId("image").src = plain;
  byId("image").alt = "The radiograph as the model saw it";
  byId("image-alone").src = plain;
  byId("overlay").src = `data:image/png;base64,${heatMap.overlay_png_base64}`;
  byId("overlay").alt = `Heat map: where the evidence for ${inWords(heatMap.label).toLowerCase()} lies`;
  show("images", true);
  show("controls", true);
}

function showFailure(problem) {
  show("progress", false);
  show("images", false);
  show("controls", false);
  show("guide", false);
  show("result", false);
  show("invitation", true);
  const limit = model ? ` The limit is ${size(model.max_body_bytes)}.` : "";
  const known = {
    400: ["This could not be sent", problem.detail],
    408: ["The upload took too long", "Check the connection to the server and try again."],
    413: ["Too large", problem.detail && problem.code !== "body_too_large" ? problem.detail : `This file is larger than the service takes.${limit}`],
    415: ["Not a radiograph file", "This is not DICOM, PNG, JPEG or TIFF, whatever its name says."],
    422: ["This file cannot be used", problem.detail],
    503: ["The service is busy", problem.code === "busy" ? "It is working on as many radiographs as it takes at a time. Try again in a moment." : problem.detail],
  }[problem.status];
  const special = {
    empty_file: ["The file is empty", "It has no content. Was it copied completely?"],
    several_files: ["One radiograph at a time", "Drop or choose a single file."],
  }[problem.code];
  const unreachable = ["The service did not answer", "Is it running, and is the file smaller than it takes?"];
  const [title, text] = special ?? known ?? (problem.status ? ["The service failed", "Its log tells more."] : unreachable);
  byId("failure-title").textContent = title;
  byId("failure-text").textContent = text ?? "";
  const about = [shownFile?.name, problem.code && `${problem.status} ${problem.code}`];
  byId("failure-code").textContent = about.filter(Boolean).join(" · ");
  show("retry", Boolean(shownFile) && ![400, 413, 415, 422].includes(problem.status));
  show("failure", true);
}

// ---- Input ---------------------------------------------------------------------------------------------------------

byId("choose").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = ""; // the same file may be chosen again
});
byId("retry").addEventListener("click", () => classify(shownFile));

let depth = 0; // dragenter and dragleave also come from children
const dragsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
const highlight = () => byId("viewer").classList.toggle("over", depth > 0);
document.addEventListener("dragenter", (event) => {
  if (!dragsFiles(event)) return;
  depth += 1;
  highlight();
});
document.addEventListener("dragleave", (event) => {
  if (!dragsFiles(event)) return;
  depth -= 1;
  highlight();
});
document.addEventListener("dragover", (event) => {
  if (dragsFiles(event)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (!dragsFiles(event)) return;
  event.preventDefault(); // or the browser would open the file
  depth = 0;
  highlight();
  take([...event.dataTransfer.files]);
});

function showView(view) {
  byId("images").dataset.view = view;
  byId("strength").disabled = view === "plain";
}
for (const radio of document.querySelectorAll("input[name=view]")) {
  radio.addEventListener("change", () => showView(radio.value));
}
function showStrength() {
  byId("overlay").style.opacity = String(byId("strength").value / 100);
}
byId("strength").addEventListener("input", showStrength);
showStrength();

learnModel();
