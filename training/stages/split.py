"""Stage split: who is never learned from, by patient, before anything learns.

Reads the index. Writes `split/split.csv` (part and fold of every radiograph) and `split/summary.json`. The hold-out is
internal (patients of the sites that are learned from) and external (all patients of the sites named as such). Folds of
the development set are for cross-validation.
"""

from collections import Counter, defaultdict

import torch

from samx.errors import WrongInput
from training.dataset import SPLIT_COLUMNS
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
    parts = _parts(run, rows)
    folds = _folds(
        {row["key"]: row["patient"] for row in rows if parts[row["patient"]] == "development"}, config.num_folds
    )
    table = [{"key": row["key"], "part": parts[row["patient"]], "fold": folds.get(row["patient"], "")} for row in rows]
    run.write_csv("split/split.csv", table, SPLIT_COLUMNS)
    run.write_json(
        "split/summary.json",
        {
            "radiographs": dict(Counter(str(entry["part"]) for entry in table)),
            "patients": dict(Counter(parts.values())),
            "folds": dict(Counter(str(entry["fold"]) for entry in table if entry["fold"] != "")),
        },
    )


def _parts(run: Run, rows: list[dict[str, str]]) -> dict[str, str]:
    """Part of every patient. A patient seen at an external site is external everywhere."""
    config = run.config.split
    sizes = Counter(row["patient"] for row in rows)
    external = {row["patient"] for row in rows if row["site"] in config.external_sites}
    internal = sorted(sizes.keys() - external)
    order = torch.randperm(len(internal), generator=run.generator("split")).tolist()
    wanted = config.holdout_fraction * sum(sizes[patient] for patient in internal)
    parts = dict.fromkeys(external, "holdout_external")
    held_out = 0
    for position in order:
        patient = internal[position]
        # A patient is held out when that brings the share closer to what is wanted.
        chosen = abs(held_out + sizes[patient] - wanted) < abs(held_out - wanted)
        parts[patient] = "holdout_internal" if chosen else "development"
        held_out += sizes[patient] if chosen else 0
    num_development = sum(part == "development" for part in parts.values())
    if num_development < config.num_folds:
        raise WrongInput(
            f"{num_development} patients are left to learn from; {config.num_folds} folds need at least as many"
        )
    return parts


def _folds(patient_by_key: dict[str, str], num_folds: int) -> dict[str, int]:
    """Fold of every patient: the largest first, each into the smallest fold."""
    sizes = Counter(patient_by_key.values())
    filled: dict[int, int] = defaultdict(int)
    folds = {}
    for patient, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        fold = min(range(num_folds), key=lambda candidate: (filled[candidate], candidate))
        folds[patient] = fold
        filled[fold] += size
    return folds
