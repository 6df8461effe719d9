"""Phase 2 by few decisions, against all true labels: a scripted reader reads twice, and each step's gain is measured.

    python -m tests.benchmarks.phase_two --config training/phantom.toml --first 13.5 --second 10

The job of the configuration runs up to the clusters. The scripted reader of `tests.benchmarks.labelling` names them at
the desk of the labelling page with `--first` decisions per 1,000 radiographs of the development set, and the job goes
on to a model. Then it looks at what the desk finds suspect, now that the classifier's out-of-fold answers are among
the witnesses, with at most `--second` decisions per 1,000, and labels are injected again. Beside it the same network
learns from the true labels of the same pool. The truth file is read by the reader, for what it looks at, and by the
judge of validation and hold-out.

A model per step is published; `steps.json` in the run holds the figures.
"""

import argparse
import csv
import json
import logging
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samx.anatomy import DISCARD, NOT_MUSCULOSKELETAL
from tests.benchmarks.labelling import Curve, ScriptedReader
from training.attributes_table import ATTRIBUTE_COLUMNS
from training.config import LabelConfig, SimulatedReaderConfig, TrainingConfig, load_config
from training.job import run_all
from training.labelling.desk import Desk
from training.labelling.pool import load_pool
from training.labels import CORRECTION_COLUMNS, RADIOGRAPH_LABEL_COLUMNS
from training.run import CORRECTIONS, RADIOGRAPH_LABELS, Run, read_table, table_bytes
from training.simulated_reader import READER, read_truth


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--seed", type=int, help="in place of the configuration's")
    parser.add_argument("--run", help="in place of the configuration's")
    parser.add_argument("--first", type=float, default=13.5, help="decisions per 1,000 before phase 2")
    parser.add_argument("--second", type=float, default=10.0, help="decisions per 1,000 after it")
    parser.add_argument("--no-splits", action="store_true", help="name mixed clusters by their majority")
    parser.add_argument(
        "--patient-column", help="of the truth file: the split is by it, where pictures carry no patient"
    )
    parser.add_argument("--no-oracle", action="store_true", help="leave out the run with all true labels")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    config = load_config(options.config)
    assert config.label.simulated_reader is not None, "the reader needs a truth file"
    simulated = config.label.simulated_reader
    truth = read_truth(simulated)
    changes: dict[str, Any] = {"label": LabelConfig(), "seed": options.seed or config.seed}
    config = config.model_copy(update=changes | {"run": options.run or config.run})
    if options.patient_column:
        config = split_by(config, options.patient_column, simulated)
    budgets = Budgets(options.first, options.second, splits=not options.no_splits)
    print_table(two_readings(config, truth, budgets, with_oracle=not options.no_oracle))
    return 0


@dataclass(frozen=True)
class Budgets:
    """Decisions per 1,000 radiographs, and how the reader works."""

    first: float
    second: float
    splits: bool


def split_by(config: TrainingConfig, column: str, simulated: SimulatedReaderConfig) -> TrainingConfig:
    """The configuration with a table of whose radiograph each is, from a column of the truth file."""
    with open(simulated.truth, newline="") as file:
        rows = [
            {"key": row[simulated.key_column].removeprefix(simulated.key_prefix), "patient": row[column]}
            for row in csv.DictReader(file)
        ]
    table = Path(f"{config.run}-patients.csv")
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_bytes(table_bytes([dict.fromkeys(ATTRIBUTE_COLUMNS, "") | row for row in rows], ATTRIBUTE_COLUMNS))
    return config.model_copy(update={"index": config.index.model_copy(update={"attributes": str(table)})})


def two_readings(
    config: TrainingConfig, truth: dict[str, str], budgets: Budgets, *, with_oracle: bool
) -> dict[str, Any]:
    """The figures of every step by its name; what is known so far is kept in the run's `steps.json`."""
    steps: dict[str, Any] = {}
    decisions: dict[str, int] = {}
    seconds: dict[str, float] = {}
    found: dict[str, Any] = {"steps": steps, "decisions": decisions, "seconds": seconds}

    def done(name: str, started: float) -> None:
        seconds[name] = round(time.monotonic() - started, 1)
        Path(config.run, "steps.json").write_text(json.dumps(found, indent=1))

    started = time.monotonic()
    run_all(config)  # awaits labels, or has them from an interrupted run
    done("phase 1", started)
    run = Run(config)
    judged = [
        {"key": row["key"], "label": truth[row["key"]], "reader": READER} for row in run.read_csv("split/split.csv")
    ]
    run.storage.write(RADIOGRAPH_LABELS, table_bytes(judged, RADIOGRAPH_LABEL_COLUMNS))
    oracle = config.model_copy(update={"run": f"{config.run}-oracle"})
    if with_oracle:
        shutil.copytree(config.run, oracle.run, dirs_exist_ok=True)

    started = time.monotonic()
    reader = desk_reader(config, truth, budgets)
    num_radiographs = found["num_radiographs"] = len(reader.truth)
    reader.read(Curve("first"))
    reader.audit(Curve("first"), max(reader.num_decisions, int(budgets.first * num_radiographs / 1000)))
    decisions["first"] = reader.num_decisions
    done("first reading", started)

    started = time.monotonic()
    run_all(config)
    steps["first reading"] = figures(run, truth, decisions["first"])
    done("phase 2", started)

    wrong_before = wrong_labels(run, truth)
    started = time.monotonic()
    reader = desk_reader(config, truth, budgets)
    reader.audit(Curve("second"), int(budgets.second * num_radiographs / 1000))
    decisions["second"] = reader.num_decisions
    done("second reading", started)

    started = time.monotonic()
    run_all(config, again_from="label")
    steps["second reading"] = figures(run, truth, sum(decisions.values()))
    ended_right = len(wrong_before - wrong_labels(run, truth))
    steps["second reading"]["wrong labels that ended right"] = share(ended_right, len(wrong_before))
    done("phase 2 again", started)

    if with_oracle:
        started = time.monotonic()
        everything = Run(oracle)
        copy_decisions(run, everything)
        rows = [
            {"key": key, "label": DISCARD if truth[key] == NOT_MUSCULOSKELETAL else truth[key], "reader": READER}
            for key in (row["key"] for row in run.read_csv("cluster/assignments.csv"))
        ]
        everything.storage.write(CORRECTIONS, table_bytes(rows, CORRECTION_COLUMNS))
        run_all(oracle)
        steps["all true labels"] = figures(everything, truth, len(rows))
        done("all true labels", started)
    return found


def desk_reader(config: TrainingConfig, truth: dict[str, str], budgets: Budgets) -> ScriptedReader:
    """A reader at the desk as the run is now."""
    pool = load_pool(config.run)
    names = [DISCARD if truth[key] == NOT_MUSCULOSKELETAL else truth[key] for key in pool.keys]
    desk = Desk(pool, (), with_neighbours=False)
    desk.find_neighbours()
    return ScriptedReader(desk, names, splits=budgets.splits, groups=True)


def copy_decisions(source: Run, destination: Run) -> None:
    """Name the clusters as another run of the same clusters has them."""
    for key in ("cluster_labels.csv", "cluster_members.csv"):
        if source.storage.exists(key):
            destination.storage.write(key, source.read(key))


def injected_labels(run: Run) -> dict[str, str]:
    return {row["key"]: row["label"] for row in run.read_csv("label/labels.csv")}


def wrong_labels(run: Run, truth: dict[str, str]) -> set[str]:
    """Radiographs that phase 2 learned under a wrong label."""
    return {key for key, label in injected_labels(run).items() if label != truth[key]}


def figures(run: Run, truth: dict[str, str], num_decisions: int) -> dict[str, Any]:
    """What a step gave: labels, cross-validation, hold-out."""
    injected = injected_labels(run)
    development = [row["key"] for row in read_table(run.storage, "cluster/assignments.csv")]
    wrong = wrong_labels(run, truth)
    answers = {row["key"]: row["answer"] for row in run.read_csv("cross_validate/predictions.csv")}
    found = {
        "decisions per 1,000": round(1000 * num_decisions / len(development), 1),
        "labels injected": len(injected),
        "left out": len(development) - len(injected),
        "wrong labels": share(len(wrong), len(injected)),
        "wrong labels corrected out of fold": share(sum(answers[key] == truth[key] for key in wrong), len(wrong)),
        "wrong labels by pair": commonest_pairs(injected, truth, wrong),
        "cross-validation": run.read_json("cross_validate/metrics.json"),
        "calibration": run.read_json("cross_validate/calibration.json"),
    }
    metrics = run.read_json("evaluate/metrics.json")
    return found | {
        part: metrics[part] for part in ("holdout_internal", "holdout_external", "holdout") if part in metrics
    }


def commonest_pairs(injected: dict[str, str], truth: dict[str, str], wrong: set[str]) -> dict[str, int]:
    pairs, counts = np.unique(
        [f"{truth[key]} as {injected[key]}" for key in sorted(wrong)] or ["none"], return_counts=True
    )
    order = counts.argsort()[::-1][:10]
    return {str(pairs[index]): int(counts[index]) for index in order}


def share(part: int, whole: int) -> dict[str, Any]:
    return {"value": round(part / whole, 4) if whole else None, "n": whole}


def print_table(steps: dict[str, Any]) -> None:
    columns = ("top_1", "top_2", "macro_recall", "accepted", "accepted_precision")
    print("| step | decisions per 1,000 | wrong labels | radiographs | n | " + " | ".join(columns) + " |")
    print("| --- " * (5 + len(columns)) + "|")
    for name, step in steps["steps"].items():
        for part in ("cross-validation", "holdout_internal", "holdout_external", "holdout"):
            if part in step:
                cells = [
                    f"{100 * step[part][column]['value']:.2f}"
                    if column in step[part] and step[part][column]["value"] is not None
                    else ""
                    for column in columns
                ]
                head = [
                    name,
                    step["decisions per 1,000"],
                    f"{100 * step['wrong labels']['value']:.2f}",
                    part,
                    step[part]["n"],
                ]
                print("| " + " | ".join(map(str, head + cells)) + " |")
    print(json.dumps({key: value for key, value in steps.items() if key != "steps"}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
