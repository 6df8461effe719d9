"""Sections without figures of accuracy: where radiographs went, how it was done, what it is for, CLAIM, provenance."""

import html

from training.report import charts
from training.report.claim import NOT_ANSWERED, answers
from training.report.facts import CLUSTER, EVALUATE, LABEL, SANITY, WEIGHTS, Facts
from training.report.flow import flow_diagram, flow_rows
from training.report.markup import (
    Cell,
    Row,
    disclosure,
    figure,
    not_measured,
    number,
    number_cell,
    paragraph,
    plain,
    share_cell,
    table,
    words,
)


def flow(facts: Facts) -> str:
    """From the files that were retrieved to the labels."""
    rows: list[Row] = [[title, cell] for title, cell in flow_rows(facts)]
    caption = "Radiographs from the source to the labels; the hold-out is set apart by patient before anything learns"
    return figure(flow_diagram(facts), caption) + disclosure("The same as a table", table("Counts", ["", ""], rows))


def methods(facts: Facts) -> str:
    """What was done, as a paper would say it."""
    configuration, spec = facts.configuration, facts.spec
    pretrain, split, cluster = configuration["pretrain"], configuration["split"], configuration["cluster"]
    sites = ", ".join(split["external_sites"]) or "none"
    reader = (
        "a simulated reader that knows the truth of a few members of each cluster" if facts.is_simulated else "readers"
    )
    texts = (
        f"Radiographs were read from their files, reduced to {spec.preprocessing.working_size} pixels along the long "
        f"side, cut to the exposed field, equalised and brought to {spec.preprocessing.size} pixels a side without "
        f"changing the aspect ratio. Patients were divided before anything learned: all patients of the external sites "
        f"({sites}) and {plain(split['holdout_fraction'])} for the internal hold-out; the rest, the development set, "
        f"in {split['num_folds']} folds.",
        f"In phase 1 the backbone {spec.architecture.backbone} learned without labels ({words(pretrain['objective'])}, "
        f"{pretrain['epochs']} epochs, initial weights: {facts.at(WEIGHTS, 'text') or 'not recorded'}). Its features "
        f"were sorted into {cluster['num_clusters']} clusters by spherical k-means. Clusters were named by {reader} "
        f"in {number(facts.at(LABEL, 'num_decisions'))} decisions ({facts.at(LABEL, 'decisions_per_1000')} per 1,000 "
        "radiographs); clusters of the same name are one class, mixed clusters were left out, discarded ones became "
        "the class of what is not musculoskeletal.",
        "In phase 2 these labels were injected into the same network: rows of its head started from the mean features "
        "of the classes and were fitted by logistic regression, then all of it was trained for "
        f"{configuration['finetune']['epochs']} epochs. Temperature and thresholds were set on out-of-fold answers, "
        f"the review thresholds so that {plain(configuration['cross_validate']['accepted_precision'])} of the accepted "
        "answers are right. The hold-out was answered by the classifier that the service loads, and judged by labels "
        "of single radiographs, never by clusters.",
    )
    return "".join(map(paragraph, texts))


def clusters(facts: Facts) -> str:
    """What the reader was given, and how pure it was."""
    titles = {
        (CLUSTER, "num_radiographs"): ("Radiographs", number_cell),
        (CLUSTER, "num_clusters"): ("Clusters", number_cell),
        (CLUSTER, "largest"): ("Largest", number_cell),
        (CLUSTER, "smallest"): ("Smallest", number_cell),
        (CLUSTER, "site_purity"): ("Purity against site (should be near chance)", share_cell),
        (CLUSTER, "site_purity_by_chance"): ("Purity against site, by chance", share_cell),
        (CLUSTER, "agreement_with_another_seed", "ami"): ("Agreement with another seed, AMI", number_cell),
        (LABEL, "against_truth", "purity"): ("Purity against the truth", share_cell),
        (LABEL, "against_truth", "ami"): ("Clusters against labels, AMI", number_cell),
        (LABEL, "against_truth", "cluster_label_nmi"): ("Clusters against labels, NMI", number_cell),
        (LABEL, "num_decisions"): ("Decisions of the reader", number_cell),
        (LABEL, "decisions_per_1000"): ("Decisions per 1,000 radiographs", number_cell),
        (LABEL, "share_of_wrong_labels"): ("Injected labels that are wrong", share_cell),
    }
    rows: list[Row] = [
        [title, cell(facts, *where)] for where, (title, cell) in titles.items() if facts.at(*where) is not None
    ]
    lost = facts.at(LABEL, "entities_lost")
    text = f"Lost, because no cluster bore their name: {', '.join(map(words, lost))}." if lost else ""
    return table("Clusters and the reader's work", ["", ""], rows) + (paragraph(text) if text else "")


def curves(facts: Facts) -> str:
    """Both training loops over their epochs."""
    found = []
    if facts.pretraining:
        found.append(figure(charts.pretraining(facts.pretraining), "Phase 1, without labels"))
    if facts.finetuning:
        found.append(figure(charts.finetuning(facts.finetuning), "Phase 2, on the injected labels"))
    return "".join(found) or not_measured("Learning curves")


def saliency(facts: Facts) -> str:
    """Whether heat maps may be believed."""
    deletion, steps = facts.at(SANITY, "deletion"), facts.at(SANITY, "randomised")
    if not deletion or not steps:
        return not_measured("Whether heat maps depend on the model")
    say = {True: "passed", False: "not passed", None: "not measured"}
    verdicts: list[Row] = [
        [
            "Maps change when weights are randomised",
            Cell(say[facts.at(SANITY, "maps_change")], f"{SANITY}#maps_change"),
        ],
        ["Deletion beats a random map", Cell(say[facts.at(SANITY, "beats_random")], f"{SANITY}#beats_random")],
    ]
    rows: list[Row] = [[f"{step['part']} and above", number(step)] for step in steps]
    scores: list[Row] = [
        [title, number_cell(facts, SANITY, "deletion", name)]
        for name, title in (
            ("grad_cam", "Grad-CAM"),
            ("random", "Random maps"),
            ("middle", "The middle first"),
            ("grad_cam_minus_random", "Grad-CAM minus random"),
        )
    ]
    height, width = facts.at(SANITY, "map_size")
    return (
        table(f"On {facts.at(SANITY, 'num_radiographs')} radiographs of the hold-out", ["Check", "Outcome"], verdicts)
        + '<div class="pair">'
        + figure(charts.deletion(deletion["curves"]), "Deletion: the faster it falls, the truer the map")
        + f"<div>{table('Deletion score: mean probability, low is good', ['Order', 'Score'], scores)}</div></div>"
        + table(
            "Rank correlation with the trained model's maps, weights randomised", ["Randomised", "Correlation"], rows
        )
        + paragraph(
            f"Maps have {height} x {width} positions. Randomised weights after Adebayo et al. 2018: a map that stays "
            "shows the picture, not the model; passed where the limits of the correlation with everything randomised "
            "lie below 0.5. Deletion after Petsiuk et al. 2018: pixels are replaced by the image's mean, the hottest "
            "first; passed where the limits of the difference to random maps lie below 0. The middle is a control: "
            "what is reached by knowing only where radiographers aim.",
            "quiet",
        )
    )


def use(_facts: Facts) -> str:
    """What it is for."""
    return (
        "<ul><li>Sorting an export of musculoskeletal radiographs by anatomical entity, for research.</li>"
        "<li>A label is a proposal. The decision says whether to rely on it: accept, review, or out of scope.</li>"
        "<li>Not a medical device; not for diagnosis, and not for deciding anything about a patient.</li>"
        "<li>Not for other modalities, photographs, or entities that are not among the classes below.</li></ul>"
    )


def limits(facts: Facts) -> str:
    """What a reader must know before believing the figures."""
    found = ["Laterality and view are not answered.", "Sites, scanners and times other than those tested may differ."]
    if facts.is_simulated:
        found.append("Clusters were named by a program, not by a person: real readers are slower and err otherwise.")
    if not facts.at(EVALUATE, "holdout_external"):
        found.append("There is no external hold-out: how well other sites are answered is not known.")
    if not facts.judged:
        found.append("Nothing was judged: no radiograph of the hold-out has a label.")
    rare = [
        words(label)
        for label, f in (facts.at(EVALUATE, "holdout", "per_class") or {}).items()
        if isinstance(f.get("recall"), dict) and f["recall"]["n"] < 10
    ]
    if rare:
        found.append(f"Fewer than ten radiographs of the hold-out bear these labels: {', '.join(rare)}.")
    lost = facts.at(LABEL, "entities_lost")
    if lost:
        found.append(f"Never answered, because no cluster bore their name: {', '.join(map(words, lost))}.")
    if facts.at(LABEL, "share_of_wrong_labels"):
        wrong = plain(facts.at(LABEL, "share_of_wrong_labels"))
        found.append(f"Of the labels that were learned from, {wrong} differ from the truth file.")
    return f"<ul>{''.join(f'<li>{html.escape(text)}</li>' for text in found)}</ul>"


def claim(facts: Facts) -> str:
    """The checklist."""
    found = answers(facts)
    num_open = sum(answer == NOT_ANSWERED for _, answer in found)
    rows: list[Row] = [
        [str(item.number), item.part, item.asks, Cell(answer, is_quiet=answer == NOT_ANSWERED)]
        for item, answer in found
    ]
    return paragraph(
        f"{len(found) - num_open} of {len(found)} items are answered by this run; {num_open} are for the authors."
    ) + table("CLAIM 2024 (Tejani et al. 2024), in our own words", ["", "Part", "Asks", "Answer"], rows, is_text=True)


def provenance(facts: Facts) -> str:
    """From what exactly this model was made."""
    rows: list[Row] = [
        ["Network", facts.spec.architecture.backbone],
        ["Seed", str(facts.configuration["seed"])],
        ["Initial weights", str(facts.at(WEIGHTS, "text") or "not recorded")],
        ["Configuration, sha256", facts.configuration_sha256],
    ]
    coded: list[Row] = [
        [words(c.label), c.body_part_examined, f"{c.code_value} {c.code_meaning}".strip()] for c in facts.spec.classes
    ]
    return table("This model", ["", ""], rows, is_text=True) + disclosure(
        f"The {len(coded)} classes",
        table("Classes", ["Class", "Body Part Examined", "SNOMED CT"], coded, is_text=True),
    )
