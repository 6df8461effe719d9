"""`python -m training public NAME --source FOLDER --out FOLDER`: a public data set made ready for a run.

Reads the data set's layout and tables, no picture. Writes `truth.csv` (key, label) for the simulated reader,
`radiographs.csv` for `index.attributes`, and `training.toml`, which names both.
"""

import argparse
import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from samx.errors import WrongInput
from samx.storage import Storage, open_storage
from training.attributes_table import ATTRIBUTE_COLUMNS
from training.public_data import folders, fracatlas, grazpedwri, mura
from training.public_data.tree import PublicRadiograph, Tree, open_tree, require_single
from training.run import table_bytes

TRUTH, ATTRIBUTES, CONFIGURATION = "truth.csv", "radiographs.csv", "training.toml"


class DataSet(NamedTuple):
    """A layout that can be read."""

    radiographs: Callable[[Tree], list[PublicRadiograph]]
    site: str


DATA_SETS: Mapping[str, DataSet] = {
    "mura": DataSet(mura.radiographs, mura.SITE),
    "fracatlas": DataSet(fracatlas.radiographs, fracatlas.SITE),
    "grazpedwri": DataSet(grazpedwri.radiographs, grazpedwri.SITE),
    "folders": DataSet(folders.radiographs, folders.SITE),
}


def public_command(arguments: list[str]) -> int:
    """Parse the command line, write the tables and the configuration, print what was found; returns the exit code.

    Raises:
        WrongInput: the layout is another one, something is there twice, or `out` lies in `source`.
        StorageError: a place is out of reach or refuses.
    """
    options = parser().parse_args(arguments)
    out = open_storage(options.out)
    if f"{out.url}/".startswith(f"{open_storage(options.source).url}/"):
        raise WrongInput(f"--out {options.out} lies in --source, where everything is taken for a radiograph")
    below = f"{options.below.strip('/')}/" if options.below.strip("/") else ""
    data_set = DATA_SETS[options.data_set]
    tree = open_tree(f"{options.source.rstrip('/')}/{below}".rstrip("/") or "/")
    found = data_set.radiographs(tree)
    site = data_set.site if options.site is None else options.site
    truth = [{"key": f"{below}{one.key}", "label": one.label} for one in found if one.label]
    attributes = [_row(one, below, site, options.data_set) for one in found]
    if options.add:
        truth, attributes = _read(out, TRUTH) + truth, _read(out, ATTRIBUTES) + attributes
        require_single([row["key"] for row in attributes], f"{options.out}: the key")
    out.write(TRUTH, table_bytes(truth, ("key", "label")))
    out.write(ATTRIBUTES, table_bytes(attributes, ATTRIBUTE_COLUMNS))
    out.write(CONFIGURATION, _configuration(options, len(attributes)).encode())
    print(
        f"{len(found)} radiographs, {sum(one.label != '' for one in found)} with a label, "
        f"{len({one.patient for one in found if one.patient})} patients known; {len(tree.keys) - len(found)} other "
        f"files. Next: python -m training run --config {options.out}/{CONFIGURATION}"
    )
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m training public", description="See training/public_data.md.")
    found.add_argument("data_set", choices=DATA_SETS, help="whose layout the folder has")
    found.add_argument("--source", required=True, help="what the run will read: folder or s3:// URL")
    found.add_argument("--out", required=True, help="where the tables, the configuration and later the run go")
    found.add_argument("--below", default="", help="folder of the data set below the source; by default the source")
    found.add_argument("--site", help="site of these radiographs; by default the data set's name, for folders none")
    found.add_argument("--add", action="store_true", help="add to the tables that are in --out already")
    return found


def _row(radiograph: PublicRadiograph, below: str, site: str, data_set: str) -> dict[str, str]:
    """A row of the table of attributes. The index makes its own pseudonym of this one, with its salt."""
    of_whom = f"{data_set}/{below}/{radiograph.patient}"
    return {
        "key": f"{below}{radiograph.key}",
        "patient": hashlib.sha256(of_whom.encode()).hexdigest()[:16] if radiograph.patient else "",
        "site": site,
        **{column: getattr(radiograph, column) for column in ("view", "laterality", "sex", "age_group", "implant")},
    }


def _read(out: Storage, name: str) -> list[dict[str, str]]:
    if not out.exists(name):
        raise WrongInput(f"--add: there is no {name} in {out.url}; leave it out for the first data set")
    return list(csv.DictReader(io.StringIO(out.read(name).decode())))


def _configuration(options: argparse.Namespace, num_radiographs: int) -> str:
    """Production values, but with no more clusters than a set of this size can fill: twenty radiographs for each."""
    clusters, prototypes = (max(2, min(1000, num_radiographs // share)) for share in (20, 8))
    out = options.out.rstrip("/")
    source, run, attributes, truth, models = (
        json.dumps(text, ensure_ascii=False)
        for text in (options.source, f"{out}/run", f"{out}/{ATTRIBUTES}", f"{out}/{TRUTH}", f"{out}/models")
    )
    return f"""\
# Written by `python -m training public`; for a GPU. Copy it before you change it: the command writes it again.
source = {source}
run = {run}

[index]
attributes = {attributes}

[pretrain]
num_prototypes = {prototypes}

[cluster]
num_clusters = {clusters}

[label.simulated_reader]
truth = {truth}

[publish]
models = {models}
name = "{options.data_set}"
"""
