"""Writes a folder of synthetic radiographs: `python -m samx.phantom --out FOLDER --num-radiographs 1500 --seed 1`."""

import argparse
import sys
from pathlib import Path

from samx.phantom import export_phantom


def main(arguments: list[str] | None = None) -> int:
    """Parses the command line and exports; 0 done, 2 wrong input."""
    parser = argparse.ArgumentParser(
        prog="python -m samx.phantom", description="Write synthetic radiographs as DICOM with their truth in a CSV."
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="writes FOLDER/radiographs/*.dcm and FOLDER/truth.csv"
    )
    parser.add_argument("--num-radiographs", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=320, help="long side in pixels (default 320)")
    parser.add_argument("--workers", type=int, default=None, help="processes (default: one per core)")
    parser.add_argument(
        "--imbalance", type=float, default=None, help="how many times the commonest label outnumbers the rarest"
    )
    options = parser.parse_args(arguments)
    try:
        truth = export_phantom(
            options.out,
            num_radiographs=options.num_radiographs,
            seed=options.seed,
            size=options.size,
            workers=options.workers,
            imbalance=options.imbalance,
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(truth)
    return 0


if __name__ == "__main__":
    sys.exit(main())
