"""Stage split: who is never learned from, by patient, before anything learns.

Reads the index. Writes `split/split.csv` (part and fold of every radiograph) and `split/summary.json`. The hold-out is
internal (patients of the sites that are learned from) and external (all patients of the sites named as such). Folds of
the development set are for cross-validation. Patients who share a near-duplicate are one group, which is not divided.
"""

from collections import Counter, defaultdict

import torch

from samx.errors import WrongInput
from training.dataset import SPLIT_COLUMNS
from training.duplicates import first_of_groups
from training.run import Run


def split(run: Run) -> None:
    """Assign every radiograph to a part and the development set to folds.

    Raises:
        WrongInput: an external site does not exist, or too few patients are left to learn from.
    """
    rows = run.read_csv("index/index.csv")
    config = run.config.split
    unknown = set(config.external_sites) - {row["site"] for row in rows}
    if unknown:
        found = sorted({row["site"] for row in rows})
        raise WrongInput(
            f"split.external_sites: no radiograph has the Institution Name {sorted(unknown)}; found {found}"
        )
    groups = _groups(rows)
    parts = _parts(run, rows, groups)
    sizes = Counter(groups[row["patient"]] for row in rows)
    folds = _folds({group: size for group, size in sizes.items() if parts[group] == "development"}, config.num_folds)
    table = [
        {"key": row["key"], "part": parts[group], "fold": folds.get(group, "")}
        for row in rows
        for group in (groups[row["patient"]],)
    ]
    patients_per_group = Counter(groups.values())
    run.write_csv("split/split.csv", table, SPLIT_COLUMNS)
    run.write_json(
        "split/summary.json",
        {
            "radiographs": dict(Counter(str(entry["part"]) for entry in table)),
            "patients": dict(Counter(parts[group] for group in groups.values())),
            "patients_joined_by_near_duplicates": sum(count for count in patients_per_group.values() if count > 1),
            "folds": dict(Counter(str(entry["fold"]) for entry in table if entry["fold"] != "")),
        },
    )


def _groups(rows: list[dict[str, str]]) -> dict[str, str]:
    """Group of every patient, named for one of its patients: who shares a near-duplicate is never parted."""
    patients = {row["key"]: row["patient"] for row in rows}
    shared = [(row["patient"], patients[row["duplicate_of"]]) for row in rows if row["duplicate_of"]]
    return {patient: patient for patient in patients.values()} | first_of_groups(shared)


def _parts(run: Run, rows: list[dict[str, str]], groups: dict[str, str]) -> dict[str, str]:
    """Part of every group. One with a radiograph from an external site is external everywhere."""
    config = run.config.split
    sizes = Counter(groups[row["patient"]] for row in rows)
    external = {groups[row["patient"]] for row in rows if row["site"] in config.external_sites}
    internal = sorted(sizes.keys() - external)
    order = torch.randperm(len(internal), generator=run.generator("split")).tolist()
    wanted = config.holdout_fraction * sum(sizes[group] for group in internal)
    parts = dict.fromkeys(external, "holdout_external")
    held_out = 0
    for position in order:
        group = internal[position]
        # A group is held out when that brings the share closer to what is wanted.
        chosen = abs(held_out + sizes[group] - wanted) < abs(held_out - wanted)
        parts[group] = "holdout_internal" if chosen else "development"
        held_out += sizes[group] if chosen else 0
    num_development = sum(part == "development" for part in parts.values())
    if num_development < config.num_folds:
        raise WrongInput(
            f"{num_development} patients are left to learn from; {config.num_folds} folds need at least as many"
        )
    return parts


def _folds(sizes: dict[str, int], num_folds: int) -> dict[str, int]:
    """Fold of every group: the largest first, each into the smallest fold."""
    filled: dict[int, int] = defaultdict(int)
    folds = {}
    for group, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        fold = min(range(num_folds), key=lambda candidate: (filled[candidate], candidate))
        folds[group] = fold
        filled[fold] += size
    return folds
