"""The command line's words for sorting. Imports nothing, as every reading process starts through it."""

import argparse
from typing import Any

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 75
"""Exit codes of `sort`."""


def add_sorting(commands: Any) -> None:
    """Add `sort`, `undo` and `plan` to the subcommands of an argparse parser."""
    sort = commands.add_parser("sort", help="sort a bucket or folder: one row per object, exactly once")
    sort.add_argument("source", help="folder or s3://bucket/prefix; only read")
    sort.add_argument("destination", help="folder or s3://bucket/prefix; not inside the source nor around it")
    sort.add_argument("--model", help="folder or s3:// URL of a model or of one version; default: SAMX_ARTIFACT")
    sort.add_argument("--copies", action="store_true", help="copy to <label>/, _review/, _out_of_scope/, _unreadable/")
    sort.add_argument("--tags", action="store_true", help="tag the copies with label and decision")
    sort.add_argument("--dicom", action="store_true", help="DICOM copies that say what they show, to _dicom/<label>/")
    sort.add_argument("--limit", type=int, metavar="N", help="sort the first N objects only")
    sort.add_argument("--requester-pays", action="store_true", help="the source's bucket charges its readers")
    sort.add_argument(
        "--shard-size", type=int, default=512, metavar="N", help="objects per shard; default: %(default)s"
    )
    sort.add_argument("--job", metavar="NAME", help="name of the job; default: the unfinished one of this request")
    part = sort.add_mutually_exclusive_group()
    part.add_argument("--shard", type=_part, metavar="I/N", help="only the I-th (from 0) of N parts; merge afterwards")
    part.add_argument(
        "--merge",
        type=float,
        nargs="?",
        const=0.0,
        metavar="SECONDS",
        help="only merge what all parts have found; wait so long for those still at work, default: not at all",
    )
    part.add_argument("--watch", type=float, metavar="SECONDS", help="sort again whenever so much time has passed")
    sort.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    sort.add_argument("--processes", type=int, metavar="N", help="that read; default: one per core")
    sort.add_argument(
        "--memory", type=_mebibytes, default=128 * 1024**2, metavar="MIB", help="of objects; default: 128"
    )
    sort.add_argument("--device", choices=("auto", "cpu", "cuda"), help="default: SAMX_DEVICE")
    sort.add_argument("--background", action="store_true", help="only use the processor while nobody else does")
    sort.add_argument("--end-with-stdin", action="store_true", help="stop when the standard input ends")
    undo = commands.add_parser("undo", help="remove what a job made, and nothing else")
    undo.add_argument("destination", help="folder or s3://bucket/prefix that was sorted into")
    undo.add_argument("job", help="the job's name; `sort` prints it")

    plan = commands.add_parser("plan", help="what it takes to sort millions: time, requests, money; nothing is sorted")
    plan.add_argument("--objects", type=int, default=10_000_000, help="default: %(default)s")
    plan.add_argument("--rate", type=float, required=True, help="objects per second of one worker; `sort` shows it")
    plan.add_argument("--megabytes", type=float, default=6.0, help="mean size of an object; default: %(default)s")
    plan.add_argument("--copies", action="store_true", help="with copies of all objects")
    plan.add_argument("--dicom-share", type=float, default=0.0, help="share written again as DICOM; default: none")
    plan.add_argument("--workers", type=int, nargs="+", default=(8, 16, 32, 64, 128), help="pods at a time")
    plan.add_argument("--shard-sizes", type=int, nargs="+", default=(128, 512, 2048))
    plan.add_argument("--preemptions-per-hour", type=float, default=0.05, help="of a pod; default: %(default)s")
    plan.add_argument("--prices", help="TOML file with the fields of service.sorting.plan.Prices")
    plan.add_argument("--seed", type=int, default=1)


def _part(text: str) -> tuple[int, int]:
    index, separator, count = text.partition("/")
    if not (separator and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected I/N with 0 <= I < N, like 0/8")
    return int(index), int(count)


def _mebibytes(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of MiB")
    return int(text) * 1024**2
