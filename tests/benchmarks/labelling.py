"""What a reading costs and what it gives: a scripted reader at the desk of the labelling page, against the truth.

    python -m tests.benchmarks.labelling --run RUN --truth truth.csv --not-musculoskeletal chest abdomen ... --plot FILE

The run's stage cluster must be done; its decisions are made on a copy. The reader is shown what the page shows, sees
the true label of every radiograph on the screen and of no other, and follows a suggestion only where it is right. A
decision is one key that decides: a name (of one cluster or of a group), a cluster taken out of a group, a split, a
correction, a look at a suspect. Accuracy is over all radiographs of the run; those that are left out count as wrong.
"""

import argparse
import csv
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from samx.anatomy import DISCARD, MIXED
from training.labelling.desk import Desk, Request
from training.labelling.pool import Pool, load_pool
from training.labelling.similarity import linear_probe, probe_probabilities

READER = "script"
_SPLITS_AT_MOST = 3
_MIXED, _MANY_WRONG = 0.75, 5
"""A cluster is split where fewer of its sample agree, and so many of it would be wrong."""
_GIVE_UP = 15
"""Suspects in a row that were right, after which the reader stops looking for wrong ones."""
_STEPS = (0.005, 0.01, 0.0235, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0)


@dataclass
class Curve:
    """Accuracy after so many decisions and so many radiographs looked at."""

    name: str
    decisions: list[int] = field(default_factory=list)
    looked: list[int] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)

    def add(self, decisions: int, looked: int, accuracy: float) -> None:
        self.decisions.append(decisions)
        self.looked.append(looked)
        self.accuracy.append(accuracy)

    def accuracy_at(self, budget: int) -> float:
        """The best with no more decisions than these."""
        return max((value for count, value in zip(self.decisions, self.accuracy, strict=True) if count <= budget),
                   default=0.0)  # fmt: skip


class ScriptedReader:
    """Reads a run by the desk alone.

    Args:
        desk: the run.
        truth: true label by position; what is not musculoskeletal is `discard`.
        splits: whether mixed clusters are split.
        groups: whether clusters that look alike are named together.
        corrects: whether radiographs on the screen that do not belong to the name are corrected, one by one.
    """

    def __init__(self, desk: Desk, truth: Sequence[str], *, splits: bool, groups: bool, corrects: bool = False) -> None:
        self.desk, self.truth, self.splits, self.groups, self.corrects = desk, np.array(truth), splits, groups, corrects
        self.num_decisions = 0
        self.seen: set[int] = set()
        self.depth: dict[int, int] = {}

    def accuracy(self) -> float:
        reading = self.desk.reading
        names = np.full(len(self.truth), MIXED, dtype=object)
        for cluster_id, given in reading.labels.items():
            names[reading.members[cluster_id]] = given.label
        for position, given in reading.corrections.items():
            names[position] = given.label
        return float((names == self.truth).mean())

    def read(self, curve: Curve) -> None:
        """Name all clusters."""
        while undecided := set(self.desk.reading.undecided):
            order = self.desk.state()["order"]["useful"]
            self._decide_about(next(one for one in order if one in undecided))
            self._note(curve)

    def audit(self, curve: Curve, budget: int) -> None:
        """Look at suspects, the most suspect first, until many in a row are right or the budget is spent."""
        in_a_row = 0
        while in_a_row < _GIVE_UP and self.num_decisions < budget:
            items = self.desk.audit(5)["items"]
            if not items:
                return
            for item in items:
                if self.num_decisions + len(item["together"]) > budget:
                    return
                in_a_row = 0 if self._judge(item) else in_a_row + 1
                self._note(curve)

    def _judge(self, item: dict[str, Any]) -> bool:
        """Look at suspects that are shown together; whether any of them was under the wrong label."""
        positions = np.array(item["together"])
        self._look(positions.tolist())
        for label in sorted(set(self.truth[positions]), key=lambda one: one != item["alternative"]):
            of_it = positions[self.truth[positions] == label].tolist()
            # With one key all that are left become the alternative; the others are taken out, one by one.
            for chosen in [of_it] if label == item["alternative"] else [[one] for one in of_it]:
                self._decide({"action": "correct", "radiographs": chosen, "label": str(label)})
        return bool((self.truth[positions] != item["label"]).any())

    def _decide_about(self, cluster_id: int) -> None:
        shown = self.desk.cluster(cluster_id)
        sample = shown["random"]
        self._look([*sample, *shown["nearest"], *shown["farthest"]])
        label, share = self._majority(sample)
        num_wrong = (1 - share) * len(self.desk.reading.members[cluster_id])
        is_mixed = share < _MIXED and num_wrong >= _MANY_WRONG and self.depth.get(cluster_id, 0) < _SPLITS_AT_MOST
        if self.splits and is_mixed:
            parts = min(3, len(set(self.truth[sample])))
            opened = self._decide({"action": "split", "clusters": [cluster_id], "parts": parts})["opened"]
            self.depth |= dict.fromkeys(opened, self.depth.get(cluster_id, 0) + 1)
            return
        together, taken_out = [cluster_id], 0
        on_screen = {*sample, *shown["nearest"], *shown["farthest"]}
        if self.groups:
            for other in shown["group"][1:]:
                self._look(other["positions"])
                named, agreed = self._majority(other["positions"])
                if named == label and agreed >= 0.8:
                    together.append(other["id"])
                    on_screen.update(other["positions"])
                else:
                    taken_out += 1
        self._decide({"action": "name", "clusters": together, "label": label}, taken_out)
        if self.corrects:
            for position in sorted(one for one in on_screen if self.truth[one] != label):
                self._decide({"action": "correct", "radiographs": [position], "label": str(self.truth[position])})

    def _majority(self, positions: Sequence[int]) -> tuple[str, float]:
        label, count = Counter(self.truth[list(positions)]).most_common(1)[0]
        return str(label), count / len(positions)

    def _look(self, positions: Sequence[int]) -> None:
        self.seen.update(positions)

    def _decide(self, wish: dict[str, Any], taken_out: int = 0) -> dict[str, Any]:
        self.num_decisions += 1 + taken_out
        common = {"reader": READER, "seen": self.desk.reading.number, "taken_out": taken_out}
        return self.desk.decide(Request.model_validate(common | {"wish": wish}))

    def _note(self, curve: Curve) -> None:
        curve.add(self.num_decisions, len(self.seen), self.accuracy())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--key-column", default="key")
    parser.add_argument("--key-prefix", default="")
    parser.add_argument("--not-musculoskeletal", nargs="*", default=[])
    parser.add_argument("--budget", type=float, default=23.5, help="decisions per 1,000 radiographs, audit included")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    with options.truth.open(newline="") as file:
        named = {row[options.key_column].removeprefix(options.key_prefix): row["label"] for row in csv.DictReader(file)}
    pool = load_pool(options.run)
    truth = [DISCARD if named[key] in options.not_musculoskeletal else named[key] for key in pool.keys]
    budget = int(options.budget * len(truth) / 1000)
    curves = []
    print("| reading | decisions | per 1,000 | looked at | per 1,000 | accuracy | accuracy at the budget |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for curve in _curves(options.run, pool, truth, budget):
        curves.append(curve)
        decisions, looked = curve.decisions[-1], curve.looked[-1]
        cells = [curve.name, decisions, f"{1000 * decisions / len(truth):.1f}", looked,
                 f"{1000 * looked / len(truth):.0f}", f"{100 * curve.accuracy[-1]:.2f}",
                 f"{100 * curve.accuracy_at(budget):.2f}"]  # fmt: skip
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    if options.plot:
        _plot(curves, len(truth), options.plot)
    return 0


def _curves(run: str, pool: Pool, truth: Sequence[str], budget: int) -> Iterator[Curve]:
    names, targets = np.unique(truth, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(truth))
    one_by_one, spread = Curve("one radiograph at a time"), Curve("random radiographs, linear probe")
    for share in _STEPS:
        chosen = order[: max(2, int(share * len(truth)))]
        one_by_one.add(len(chosen), len(chosen), len(chosen) / len(truth))
        weights = np.ones(len(chosen), np.float32)
        probe = linear_probe(pool.features_ND[chosen], targets[chosen], len(names), weights)
        answers = probe_probabilities(pool.features_ND, probe).argmax(1)
        answers[chosen] = targets[chosen]
        spread.add(len(chosen), len(chosen), float((answers == targets).mean()))
    yield one_by_one
    yield spread
    yield _medoids(pool, truth)
    for name, splits, groups, audits in (
        ("clusters", False, False, False),
        ("clusters, mixed ones split", True, False, False),
        ("clusters in groups", False, True, False),
        ("clusters in groups, mixed ones split", True, True, False),
        ("the same and audit", True, True, True),
    ):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "run")
            shutil.copytree(run, copy)
            for leftover in ("audit_log.jsonl", "cluster_labels.csv", "cluster_members.csv", "corrections.csv"):
                (copy / leftover).unlink(missing_ok=True)
            desk = Desk(load_pool(str(copy)), (), with_neighbours=False)
            reader, curve = ScriptedReader(desk, truth, splits=splits, groups=groups), Curve(name)
            reader.read(curve)
            if audits:
                desk.find_neighbours()
                reader.audit(curve, budget)
            yield curve


def _medoids(pool: Pool, truth: Sequence[str]) -> Curve:
    """One look at the member nearest to the centroid of each cluster."""
    curve, labels = Curve("medoids"), np.array(truth)
    names = np.full(len(truth), MIXED, dtype=object)
    for count, cluster_id in enumerate(np.unique(pool.cluster_N), start=1):
        members = np.flatnonzero(pool.cluster_N == cluster_id)
        features = pool.features_ND[members]
        names[members] = labels[members[(features @ features.sum(0)).argmax()]]
        curve.add(count, count, float((names == labels).mean()))
    return curve


def _plot(curves: Sequence[Curve], num_radiographs: int, path: Path) -> None:
    figure = Figure(figsize=(13, 5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, what in zip(axes, ("decisions", "looked"), strict=True):
        for curve in curves:
            axis.plot([1000 * value / num_radiographs for value in getattr(curve, what)],
                      [100 * value for value in curve.accuracy], label=curve.name, linewidth=1.5)  # fmt: skip
        axis.set(xscale="log", xlabel=f"{'decisions' if what == 'decisions' else 'radiographs looked at'} per 1,000")
        axis.grid(alpha=0.3)
    axes[0].axvline(23.5, color="grey", linestyle=":", linewidth=1)
    axes[0].set_ylabel("radiographs with the right label, %")
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
