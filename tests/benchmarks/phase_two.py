"""Phase 2 by few decisions, against all true labels: a scripted reader reads twice, and each step's gain is measured.

    python -m tests.benchmarks.phase_two --config training/phantom.toml --first 13.5 --second 10

The job of the configuration runs up to the clusters. The scripted reader of `tests.benchmarks.labelling` names them at
the desk of the labelling page with `--first` decisions per 1,000 radiographs of the development set, and the job goes
on to a model. Then it looks at what the desk finds suspect, now that the classifier's out-of-fold answers are among
the witnesses, with at most `--second` decisions per 1,000, and labels are injected again. Beside it the same network
learns from the true labels of the same pool. The truth file is read by the reader, for what it looks at, and by the
judge of validation and hold-out.

A model per step is published; `steps.json` in the run holds the figures. The same command goes on where it was
interrupted.
"""

import argparse
import csv
import json
import logging
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samx.anatomy import DISCARD, NOT_MUSCULOSKELETAL
from tests.benchmarks.labelling import Curve, ScriptedReader
from training.attributes_table import ATTRIBUTE_COLUMNS
from training.config import LabelConfig, SimulatedReaderConfig, TrainingConfig, load_config
from training.job import run_all, run_stage
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
    parser.add_argument("--corrects", action="store_true", help="correct what is seen under a wrong name at once")
    parser.add_argument(
        "--patient-column", help="of the truth file: the split is by it, where pictures carry no patient"
    )
    parser.add_argument(
        "--no-first-model",
        action="store_true",
        help="after the first reading only the folds learn: what the second needs",
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
    budgets = Budgets(
        options.first,
        options.second,
        splits=not options.no_splits,
        corrects=options.corrects,
        first_model=not options.no_first_model,
    )
    print_table(TwoReadings(config, truth, budgets).all(with_oracle=not options.no_oracle))
    return 0


@dataclass(frozen=True)
class Budgets:
    """Decisions per 1,000 radiographs, how the reader works, and what is made of the first of the two readings."""

    first: float
    second: float
    splits: bool
    corrects: bool
    first_model: bool
    """Whether a model is published of what the first reading gave."""


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


class TwoReadings:
    """The steps in their order. What is found is kept in the run's `steps.json`; what is done is not done again."""

    def __init__(self, config: TrainingConfig, truth: dict[str, str], budgets: Budgets) -> None:
        self._config, self._truth, self._budgets = config, truth, budgets
        self._run = Run(config)
        self._oracle = config.model_copy(update={"run": f"{config.run}-oracle"})
        self._kept = Path(config.run, "steps.json")
        self.found: dict[str, Any] = {"steps": {}, "decisions": {}, "seconds": {}}
        """Figures, decisions and seconds by step."""
        if self._kept.exists():
            self.found |= json.loads(self._kept.read_text())

    def all(self, *, with_oracle: bool) -> dict[str, Any]:
        """Do all steps; returns what is found."""
        steps: dict[str, Callable[[], object]] = {
            "phase 1": self._cluster,
            "first reading": self._read,
            "phase 2": self._learn,
            "second reading": self._read_again,
            "phase 2 again": self._learn_again,
        }
        if with_oracle:
            steps["all true labels"] = self._learn_truth
        for name, step in steps.items():
            if name not in self.found["seconds"]:
                started = time.monotonic()
                step()
                self.found["seconds"][name] = round(time.monotonic() - started, 1)
                self._keep()
        return self.found

    def _keep(self) -> None:
        self._kept.write_text(json.dumps(self.found, indent=1))

    def _cluster(self) -> None:
        run_all(self._config)  # awaits labels
        judged = [
            {"key": row["key"], "label": self._truth[row["key"]], "reader": READER}
            for row in self._run.read_csv("split/split.csv")
        ]
        self._run.storage.write(RADIOGRAPH_LABELS, table_bytes(judged, RADIOGRAPH_LABEL_COLUMNS))
        shutil.copytree(self._config.run, self._oracle.run, dirs_exist_ok=True)  # before anything is named

    def _read(self) -> None:
        reader = self._reader()
        num_radiographs = self.found["num_radiographs"] = len(reader.truth)
        reader.read(Curve("first"))
        most = int(self._budgets.first * num_radiographs / 1000)
        reader.audit(Curve("first"), max(reader.num_decisions, most))
        self.found["decisions"]["first"] = reader.num_decisions

    def _learn(self) -> None:
        if self._budgets.first_model:
            run_all(self._config)
        else:
            for stage in ("label", "cross_validate"):
                run_stage(self._config, stage)
        self._note("first reading", self.found["decisions"]["first"])
        self.found["wrong before"] = sorted(wrong_labels(self._run, self._truth))

    def _read_again(self) -> None:
        reader = self._reader()
        reader.audit(Curve("second"), int(self._budgets.second * len(reader.truth) / 1000))
        self.found["decisions"]["second"] = reader.num_decisions

    def _learn_again(self) -> None:
        nothing_new = self.found.get("injected again") or not self.found["decisions"]["second"]
        again_from = None if nothing_new else "label"
        self.found["injected again"] = True
        self._keep()
        run_all(self._config, again_from=again_from)
        self._note("second reading", sum(self.found["decisions"].values()))
        before = set(self.found["wrong before"])
        ended_right = len(before - wrong_labels(self._run, self._truth))
        self.found["steps"]["second reading"]["wrong labels that ended right"] = share(ended_right, len(before))

    def _learn_truth(self) -> None:
        everything = Run(self._oracle)
        copy_decisions(self._run, everything)
        rows = [
            {"key": row["key"], "label": self._name_of(row["key"]), "reader": READER}
            for row in self._run.read_csv("cluster/assignments.csv")
        ]
        everything.storage.write(CORRECTIONS, table_bytes(rows, CORRECTION_COLUMNS))
        run_all(self._oracle)
        self.found["steps"]["all true labels"] = figures(everything, self._truth, len(rows))

    def _note(self, step: str, num_decisions: int) -> None:
        self.found["steps"][step] = figures(self._run, self._truth, num_decisions)

    def _name_of(self, key: str) -> str:
        """What a reader who knows the truth says of a radiograph."""
        label = self._truth[key]
        return DISCARD if label == NOT_MUSCULOSKELETAL else label

    def _reader(self) -> ScriptedReader:
        """A reader at the desk as the run is now."""
        pool = load_pool(self._config.run)
        names = [self._name_of(key) for key in pool.keys]
        desk = Desk(pool, (), with_neighbours=False)
        desk.find_neighbours()
        return ScriptedReader(desk, names, splits=self._budgets.splits, groups=True, corrects=self._budgets.corrects)


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
    metrics = run.read_json("evaluate/metrics.json") if run.is_done("evaluate") else {}
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
