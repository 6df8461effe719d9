"""`python -m training compare --a <run or model> --b <run or model>`: two runs on the same hold-out, as a table."""

import argparse
import json
from pathlib import Path

from training.evaluation.comparison import as_table, compare, load_evaluated
from training.evaluation.intervals import RESAMPLES


def compare_command(arguments: list[str]) -> int:
    """Parse the command line, print the table and, where asked, write the figures; returns the exit code.

    Raises:
        WrongInput: a run cannot be compared, or the hold-outs differ.
        StorageError: a run is out of reach.
        ValueError: the file to write cannot be written.
    """
    options = _parser().parse_args(arguments)
    figures = compare(load_evaluated(options.a), load_evaluated(options.b), resamples=options.resamples)
    print(as_table(figures))
    if options.out is not None:
        try:
            options.out.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
        except OSError as error:
            raise ValueError(f"cannot write {options.out}: {error.strerror}") from error
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training compare", description="Two runs side by side on the same hold-out."
    )
    what = "a run, or a published model whose run is still there: folder or s3:// URL"
    parser.add_argument("--a", required=True, metavar="RUN", help=what)
    parser.add_argument("--b", required=True, metavar="RUN", help="the other")
    parser.add_argument("--out", type=Path, help="JSON file for the figures; without it nothing is written")
    parser.add_argument(
        "--resamples", type=int, default=RESAMPLES, help=f"of the bootstrap over patients; by default {RESAMPLES}"
    )
    return parser
