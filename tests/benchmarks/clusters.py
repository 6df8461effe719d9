"""Clusters against labels: the same pool, the same measures, one variant of phase 1 beside another.

    python -m tests.benchmarks.clusters tests/benchmarks/clusters_radiographs.toml --work FOLDER
    python -m tests.benchmarks.clusters ... --only "as configured" --seeds 3 --set pretrain.objective='"simclr"'

The configuration is one of the training job; its truth file plays no part but to measure (and to thin the pool, as
configured). Every variant is a run of its own, index to cluster, below FOLDER; what is done there is not done again.
Prints a row of a Markdown table per variant and seed.
"""

import argparse
import csv
import json
import os
import random
import shutil
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.config import TrainingConfig
from training.job import run_stage
from training.metrics import cluster_label_scores, neighbour_purity, purity, purity_at_mixed_sites, purity_by_chance
from training.run import Run

Changes = dict[str, Any]

VARIANTS: dict[str, Changes] = {
    "PCA of pixels": {
        "pretrain.epochs": 0,
        "cluster.learned_weight": 0.0,
        "cluster.hog_weight": 0.0,
        "cluster.pixel_weight": 1.0,
    },
    "HOG": {"pretrain.epochs": 0, "cluster.learned_weight": 0.0, "cluster.hog_weight": 1.0},
    "random network": {"pretrain.epochs": 0, "cluster.hog_weight": 0.0},
    "as configured": {},
}
COLUMNS = ("variant", "seed", "purity", "mixed sites", "AMI", "site purity", "by chance", "10-NN", "stability NMI",
           "another seed NMI", "kinds owned", "seconds")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.FIELD=VALUE", help="TOML values, on top")
    options = parser.parse_args()
    content = tomllib.loads(options.config.read_text())
    pool = content.pop("pool", {})
    own = tomllib.loads("\n".join(options.set))
    given = {f"{section}.{name}": value for section, fields in own.items() for name, value in fields.items()}
    truth = _truth(content)
    content["source"] = str(_thinned(Path(content["source"]), truth, pool.get("at_most", {}), options.work))
    _print_row(COLUMNS)
    _print_row(["---"] * len(COLUMNS))
    for seed in range(options.seeds):
        for name in options.only:
            label = name + "".join(f" {item}" for item in options.set)
            _print_row(_measure(label, content, {**given, **VARIANTS[name]}, truth, seed, options.work))
    return 0


def _measure(
    name: str, content: dict[str, Any], changes: Changes, truth: dict[str, dict[str, str]], seed: int, work: Path
) -> list[str]:
    folder = work / (name.replace(" ", "_").replace("/", "_").replace('"', "") + f"-{seed}")
    merged = {key: dict(value) if isinstance(value, dict) else value for key, value in content.items()}
    for path, value in changes.items():
        section, field = path.split(".")
        merged.setdefault(section, {})[field] = value
    config = TrainingConfig.model_validate(merged | {"run": str(folder), "seed": seed})
    _share_index(config, work / "index", folder)
    seconds = 0.0
    for stage in ("split", "pretrain", "cluster"):
        started = time.monotonic()
        run_stage(config, stage)
        seconds += time.monotonic() - started
    run = Run(config)
    assigned = {row["key"]: int(row["cluster_id"]) for row in run.read_csv("cluster/assignments.csv")}
    labels, sites = ([truth[key][column] for key in assigned] for column in ("label", "site"))
    ids = list(assigned.values())
    scores = cluster_label_scores(ids, labels)
    mixed = purity_at_mixed_sites(ids, labels, sites)
    neighbours, _ = neighbour_purity(torch.from_numpy(run.read_array("cluster/features.npy")), labels)
    history = run.read("pretrain/history.jsonl").decode().splitlines()
    stability = json.loads(history[-1])["assignment_stability_nmi"] if history else None
    other = run.read_json("cluster/summary.json")["agreement_with_another_seed"]["nmi"]
    figures = [scores["purity"], mixed, scores["ami"], purity(ids, sites), purity_by_chance(ids, sites), neighbours,
               stability, other]  # fmt: skip
    shown = ["" if value is None else f"{value:.4f}" for value in figures]
    return [name, str(seed), *shown, _kinds_owned(ids, labels), f"{seconds:.0f}"]


def _kinds_owned(ids: list[int], labels: list[str], *, at_least: int = 20, share: float = 0.8) -> str:
    """How many kinds of at least 20 radiographs make up 80 % of at least one cluster; and which do not."""
    clusters, names = np.array(ids), np.array(labels)
    owned = set()
    for cluster_id in np.unique(clusters):
        members, counts = np.unique(names[clusters == cluster_id], return_counts=True)
        if counts.max() >= share * counts.sum():
            owned.add(str(members[counts.argmax()]))
    kinds = [str(kind) for kind, count in zip(*np.unique(names, return_counts=True), strict=True) if count >= at_least]
    lost = [kind for kind in kinds if kind not in owned]
    return f"{len(kinds) - len(lost)} of {len(kinds)}" + (f" (not {', '.join(lost)})" if lost else "")


def _truth(content: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Rows of the truth file by key below the source."""
    reader = content["label"]["simulated_reader"]
    with Path(reader["truth"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row[reader.get("key_column", "key")].removeprefix(reader.get("key_prefix", "")): row for row in rows}


def _thinned(source: Path, truth: dict[str, dict[str, str]], at_most: dict[str, int], work: Path) -> Path:
    """A folder of links to the pool: of each label that is named, at most so many, drawn by a fixed seed."""
    if not at_most:
        return source
    folder = work / "pool"
    if folder.exists():
        return folder
    order = sorted(truth)
    random.Random(0).shuffle(order)
    left = dict(at_most)
    for key in order:
        label = truth[key]["label"]
        if left.get(label, 1) > 0:
            left[label] = left.get(label, 1 << 30) - 1
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            os.symlink((source / key).resolve(), folder / key)
    return folder


def _share_index(config: TrainingConfig, shared: Path, folder: Path) -> None:
    """The index is read once for all variants."""
    size = config.preprocessing.size
    shared = shared.with_name(f"{shared.name}-{size}")
    if not (shared / "done/index.json").exists():
        run_stage(config.model_copy(update={"run": str(shared)}), "index")
    if not (folder / "done/index.json").exists():
        shutil.copytree(shared, folder, dirs_exist_ok=True)


def _print_row(cells: Any) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
