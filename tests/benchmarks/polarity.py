"""How often the pixel-based polarity check errs: `python -m tests.benchmarks.polarity`.

Each real radiograph is taken as it is, and inverted. "wrongly inverted" counts the first, "found" the second. Trunks,
which fill their field, are meant not to be found. A few pictures of the set may be negatives to begin with: they would
count as wrongly inverted. With `--export FOLDER`, synthetic radiographs (`python -m samx.phantom`) are read, too.
"""

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from samx.radiograph import read_radiograph
from samx.reading.grey_levels import stretch
from samx.reading.polarity import is_negative
from tests.samx.files import real_folder


def main() -> None:
    folder = real_folder()
    if folder is None:
        sys.exit("real radiographs are not at ../shared/radiographs: set SAMX_RADIOGRAPHS")
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    counts: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for row in rows:
        pixels = stretch(np.asarray(Image.open(folder / row["file"]).convert("L"), np.float32))
        counts[row["label"]].append((is_negative(pixels), is_negative(1 - pixels)))
    counts["all"] = [pair for pairs in counts.values() for pair in pairs]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export", type=Path)
    if export := parser.parse_args().export:
        files = sorted((export / "radiographs").glob("*.dcm"))
        inverted = sum(read_radiograph(file.read_bytes()).was_negative for file in files)
        print(
            f"of {len(files)} synthetic radiographs {inverted} ({inverted / len(files):.2%}) are inverted, all wrongly"
        )
    print(f"{'label':22}{'n':>6}{'wrongly inverted':>20}{'found':>10}")
    for label, pairs in sorted(counts.items(), key=lambda item: (item[0] == "all", item[0])):
        wrong, found = (sum(pair[index] for pair in pairs) for index in (0, 1))
        print(f"{label:22}{len(pairs):>6}{wrong:>12} ({wrong / len(pairs):.2%}){found / len(pairs):>10.1%}")


if __name__ == "__main__":
    main()
