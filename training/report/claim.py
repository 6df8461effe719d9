"""The items of CLAIM 2024 (Tejani et al. 2024), in our own words, each answered from the run or marked as open.

A run knows its data, its model and its figures. It does not know why a study was done, who paid, or what was
registered: those items stay open, for the authors to answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from training.report.facts import CROSS_VALIDATE, EVALUATE, INDEX, LABEL, SANITY, SPLIT, WEIGHTS, Facts
from training.report.markup import number, plain, share, words

NOT_ANSWERED = "not answered by this run"

Answer = Callable[[Facts], str | None]


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the checklist."""

    number: int
    part: str
    asks: str
    answer: Answer
    """None where the run cannot say."""


def answers(facts: Facts) -> list[tuple[Item, str]]:
    """Every item with its answer, or `NOT_ANSWERED`."""
    return [(item, item.answer(facts) or NOT_ANSWERED) for item in ITEMS]


def _says(text: str) -> Answer:
    return lambda _facts: text


def _open(_facts: Facts) -> None:
    return None


def _backbone(facts: Facts) -> str:
    return (
        f"{facts.spec.architecture.backbone} with global average pooling and one linear layer for "
        f"{len(facts.spec.classes)} classes, {facts.spec.preprocessing.size} pixels a side, one grey channel."
    )


def _excluded(facts: Facts) -> str:
    rejected: Mapping[str, int] = facts.at(INDEX, "rejected_by_code") or {}
    reasons = ", ".join(f"{words(code)} {count}" for code, count in sorted(rejected.items())) or "none"
    return (
        f"Included: every file that can be read as a radiograph ({number(facts.at(INDEX, 'num_radiographs'))}). "
        f"Excluded, by reason: {reasons}. Clusters called mixed are not learned from. Clinical criteria are not known."
    )


def _source(facts: Facts) -> str:
    sites = facts.at(INDEX, "radiographs_by_site") or {}
    found = ", ".join(f"{site} {count}" for site, count in sorted(sites.items()))
    return f"Radiographs by site: {found}. Dates and scanners are not recorded by the run." if sites else ""


def _reader(facts: Facts) -> str:
    readers = ", ".join(facts.at(LABEL, "readers") or ()) or "nobody"
    about = " It is a program that knows the truth of a few members of each cluster, not a person." * facts.is_simulated
    return (
        f"Clusters were named by: {readers}, with {number(facts.at(LABEL, 'num_decisions'))} decisions.{about} "
        "Qualifications are not recorded by the run."
    )


def _judged(facts: Facts) -> str:
    n = facts.at(EVALUATE, "num_labelled")
    if not n:
        return ""
    return f"{n} radiographs of the hold-out by labels of single radiographs, never by clusters."


def _wrong_labels(facts: Facts) -> str:
    share_wrong = facts.at(LABEL, "share_of_wrong_labels")
    return "" if share_wrong is None else f"Of the injected labels {plain(share_wrong)} differ from the truth file."


def _partitions(facts: Facts) -> str:
    split = facts.configuration.get("split", {})
    outside = ", ".join(split.get("external_sites") or ()) or "none named"
    return (
        f"At random by patient with seed {facts.configuration.get('seed')}, before anything learns: "
        f"{plain(split.get('holdout_fraction'))} for the internal hold-out, and all patients of the external sites "
        f"({outside}); the rest in {split.get('num_folds')} folds."
    )


def _initial(facts: Facts) -> str:
    text = facts.at(WEIGHTS, "text")
    return f"Phase 1 starts from: {text}." if text else ""


def _training(facts: Facts) -> str:
    first, second = facts.configuration.get("pretrain", {}), facts.configuration.get("finetune", {})
    return (
        f"Phase 1: {words(str(first.get('objective')))}, {first.get('epochs')} epochs, batches of "
        f"{first.get('batch_size')}, AdamW, peak learning rate {first.get('learning_rate')}. Phase 2: the head's "
        f"rows by logistic regression, then all weights on the injected labels, {second.get('epochs')} epochs, batches "
        f"of {second.get('batch_size')}, peak rate {second.get('learning_rate')}, label smoothing "
        f"{second.get('label_smoothing')}. See Learning curves."
    )


def _robust(facts: Facts) -> str:
    found = facts.at(EVALUATE, "robustness")
    return f"{len(found)} versions of the hold-out; see Robustness." if found else ""


def _explained(facts: Facts) -> str:
    changed, beats = facts.at(SANITY, "maps_change"), facts.at(SANITY, "beats_random")
    if changed is None and beats is None:
        return ""
    say = {True: "yes", False: "no", None: "not measured"}
    return (
        "Grad-CAM in closed form. Maps change when weights are randomised: "
        f"{say[changed]}; deletion beats a random map: {say[beats]}. See Where the model looks."
    )


def _holdout(part: str) -> Answer:
    def answer(facts: Facts) -> str:
        figures = facts.at(EVALUATE, part)
        return f"{figures['n']} radiographs: top-1 {share(figures['top_1'])}." if figures else ""

    return answer


def _counts(facts: Facts) -> str:
    parts = facts.at(SPLIT, "patients") or {}
    found = ", ".join(f"{words(part)} {count}" for part, count in sorted(parts.items()))
    return f"Patients: {found}. Radiographs: see Flow of radiographs." if parts else ""


def _performance(facts: Facts) -> str:
    if facts.at(EVALUATE, "holdout") is None:
        return ""
    return "See Results: every share with its 95 % interval, per part, per class and per fold."


def _precision(facts: Facts) -> str:
    found = facts.at(EVALUATE, "holdout", "per_class")
    return f"Recall and precision of {len(found)} classes with 95 % intervals; see Classes." if found else ""


def _failures(facts: Facts) -> str:
    if not facts.judged:
        return ""
    wrong = sum(count for *_, count in facts.mistakes)
    if not wrong:
        return f"None of {len(facts.judged)} answers is wrong."
    label, answer, count = facts.mistakes[0]
    return (
        f"{wrong} of {len(facts.judged)} answers are wrong; the commonest mistake: {words(label)} answered as "
        f"{words(answer)} ({count}). See Confusion."
    )


def _demographics(facts: Facts) -> str:
    groups = facts.at(EVALUATE, "subgroups") or {}
    told = [words(name) for name in ("sex", "age_group") if groups.get(name)]
    return f"For the hold-out by {' and '.join(told)}; see Subgroups. Not for the development set." if told else ""


def _kind(facts: Facts) -> str:
    outside = "an" if facts.at(EVALUATE, "holdout_external") else "no"
    return f"Development and test of a classifier with {outside} external hold-out; no effect on care is measured."


def _selected(facts: Facts) -> str:
    decay = facts.configuration.get("finetune", {}).get("ema_decay")
    kept = f"the moving average of the weights (decay {decay})" if decay else "the weights"
    return f"Not by results: {kept} at the end of the configured epochs."


def _ensembles(facts: Facts) -> str:
    folds = facts.at(CROSS_VALIDATE, "num_folds")
    return f"None: one network answers; the {folds} networks of the folds only calibrate."


ITEMS = tuple(
    Item(count, *rest)
    for count, rest in enumerate(
        (
            ("Title and abstract", "Name the study as one of artificial intelligence, and the kind of method",
             _says("Self-supervised deep learning with labels injected from named clusters; see the page's head.")),
            ("Title and abstract", "A structured summary of design, methods, results and conclusions", _open),
            ("Introduction", "Background, and the intended use and role of the method",
             _says("Sorting musculoskeletal radiographs for research; see Intended use. The background is open.")),
            ("Introduction", "Aims, objectives and hypotheses", _open),
            ("Study design", "Prospective or retrospective",
             _says("Retrospective: files that were there when the run began.")),
            ("Study design", "What kind of study it is",
             _kind),
            ("Data", "Where the data come from", _source),
            ("Data", "Who or what was included and excluded", _excluded),
            ("Data", "How images were prepared",
             lambda f: f"Grey levels, polarity and field as recorded in preprocessing version "
                       f"{f.spec.preprocessing.version}, saved in the artifact; see Methods."),
            ("Data", "Whether parts of images or subsets were chosen, and how",
             _says("No region is cut out by hand; every readable radiograph takes part.")),
            ("Data", "How data were made anonymous",
             _says("The run names patients by pseudonyms alone; this page names no patient and no file. "
                   "How the export was made anonymous is the authors' to say.")),
            ("Data", "What was done about missing data",
             _says("Missing tags are left missing: learning uses pixels alone. What has no label is not judged.")),
            ("Data", "How images were acquired", _open),
            ("Reference standard", "How the reference standard was obtained", _judged),
            ("Reference standard", "Why that reference standard was chosen", _open),
            ("Reference standard", "Who annotated, and their qualification", _reader),
            ("Reference standard", "How the test set was annotated", _judged),
            ("Reference standard", "How far readers agree, with others and themselves", _open),
            ("Partitions", "How data were divided", _partitions),
            ("Partitions", "At which level parts are disjoint",
             _says("The patient; patients who share a near-duplicate are kept together.")),
            ("Test data", "How the size of the sample was intended", _open),
            ("Model", "The model in detail, inputs, outputs, layers", _backbone),
            ("Model", "Software and versions",
             _says("In manifest.json of the artifact: Python and every library that decides what the numbers are.")),
            ("Model", "How weights were initialised", _initial),
            ("Training", "How it was trained", _training),
            ("Training", "How the final model was selected",
             _selected),
            ("Training", "Ensembles", _ensembles),
            ("Evaluation", "Which metrics",
             _says("Top-k accuracy, recall, precision, calibration, coverage at an accuracy; see Results.")),
            ("Evaluation", "How significance and uncertainty were measured",
             _says("Wilson's 95 % intervals for shares; where a line says patients, the bootstrap over patients.")),
            ("Evaluation", "Robustness and sensitivity", _robust),
            ("Evaluation", "How the model is explained", _explained),
            ("Evaluation", "Evaluation on internal data", _holdout("holdout_internal")),
            ("Evaluation", "Test on external data", _holdout("holdout_external")),
            ("Evaluation", "Registration of a clinical trial", _open),
            ("Results", "How many patients and examinations were included and excluded", _counts),
            ("Results", "Demographic and clinical characteristics of each part", _demographics),
            ("Results", "Performance on every part, with uncertainty", _performance),
            ("Results", "Estimates of accuracy per class, and their precision", _precision),
            ("Results", "What went wrong, and why", _failures),
            ("Discussion", "Limits of the study", _says("Those that a run can know: see Limits.")),
            ("Discussion", "What it means for practice", _says("See Intended use.")),
            ("Other", "Where the protocol or further detail is", _open),
            ("Other", "Whether software, model and data can be had", _open),
            ("Other", "Funding, and the role of those who gave it", _open),
        ),
        start=1,
    )
)  # fmt: skip
