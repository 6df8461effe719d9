"""`python -m service sort SOURCE DESTINATION --model MODEL`, `undo DESTINATION JOB`, and `plan --rate R`.

Exit codes, which the podFailurePolicy of a Kubernetes Job uses: 0 done, 2 wrong input (a retry will not help), 75
interrupted (run the same again to go on), 1 anything else, above all a storage that stays out of reach.
"""

import argparse
import os
import signal
import sys
import threading
import time

from tqdm import tqdm

from samx.artifact import resolve
from samx.classifier import load_classifier
from samx.cores import available_cores
from samx.errors import (
    AccessDenied,
    ArtifactError,
    BucketNotFound,
    CredentialsRefused,
    Interrupted,
    SamxError,
    SortRefused,
    WrongInput,
)
from samx.storage import open_storage
from service.settings import Settings
from service.sorting.job import Job, SortRequest, create_job, make_request, open_job, unfinished_or_new
from service.sorting.manifest import Frozen, freeze, shards_of_index
from service.sorting.merging import merge
from service.sorting.options import DONE, FAILED, INTERRUPTED, WRONG_INPUT
from service.sorting.plan import plan_table
from service.sorting.progress import Tally, WorkerProgress
from service.sorting.sorter import Cancelled, Capacity, sort_shards
from service.sorting.undo import undo

MOST_BATCHES = 4
"""Classified at a time; each takes a few hundred MB with ResNet-50."""
_SECONDS_BETWEEN_MERGES = 5.0
_RETRY_WILL_NOT_HELP = (WrongInput, ArtifactError, BucketNotFound, AccessDenied, CredentialsRefused)


def run(options: argparse.Namespace) -> int:
    """Run a parsed command line; returns the exit code."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: stop.set())
    try:
        if options.command == "plan":
            print(plan_table(options), flush=True)
        elif options.command == "undo":
            print(f"{undo(open_job(options.destination, options.job)):,} objects removed", flush=True)
        elif options.dry_run:
            _say_what_would_be_done(_request(options))
        else:
            _sort(options, stop)
            while options.watch:
                if stop.wait(options.watch):
                    raise Interrupted("watching was ended; run the same again to go on")
                _sort(options, stop)
    except Interrupted as error:
        print(f"samx sort: {error}", file=sys.stderr, flush=True)
        return INTERRUPTED
    except SamxError as error:
        code = getattr(error, "code", "wrong_input" if isinstance(error, WrongInput) else "failed")
        print(f"samx sort: {code}: {error}", file=sys.stderr, flush=True)
        return WRONG_INPUT if isinstance(error, _RETRY_WILL_NOT_HELP) else FAILED
    return DONE


def _request(options: argparse.Namespace) -> SortRequest:
    settings = Settings.from_environment()
    model = resolve(open_storage(options.model or settings.artifact)).url  # the version, should the current one change
    names = ("source", "destination", "copies", "tags", "dicom", "limit", "requester_pays", "shard_size")
    return make_request(model=model, **{name: getattr(options, name) for name in names})


def _sort(options: argparse.Namespace, stop: threading.Event) -> None:
    request = _request(options)
    if options.background:
        _yield_to_others()
    if options.end_with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    job = create_job(request, options.job) if options.job else unfinished_or_new(request)
    try:
        frozen = freeze(job, stop, waits=bool(options.merge) or (options.shard or (0, 1))[0] > 0)
    except WrongInput as error:
        undo(job)  # nothing has been begun
        if options.watch and isinstance(error, SortRefused) and error.code == "source_empty":
            print(f"{error}; watching.", flush=True)
            return
        raise
    if options.watch and frozen.previous and not frozen.num_outdated and frozen.num_carried == frozen.num_objects:
        undo(job)
        print(f"Nothing new since job {frozen.previous}.", flush=True)
        return
    print(f"Job {job.id}: {_in_words(frozen)}", flush=True)
    if options.merge is None:
        index, num_indexes = options.shard or (0, 1)
        _work(job, frozen, shards_of_index(frozen.num_shards, index, num_indexes), options, stop)
    if options.shard is None:
        _print_result(job, _merge(job, frozen, options.merge or 0.0, stop))


def _merge(job: Job, frozen: Frozen, wait_seconds: float, stop: threading.Event) -> Tally:
    """Merge; where parts are still at work, wait for them as long as is allowed."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return merge(job, frozen)
        except SortRefused as error:
            left = deadline - time.monotonic()
            if error.code != "shards_missing" or left <= 0:
                raise
        if job.is_cancelled:
            raise Cancelled(f"job {job.id} was cancelled")
        if stop.wait(min(left, _SECONDS_BETWEEN_MERGES)):
            raise Interrupted(f"job {job.id} waited for its parts and was interrupted; run the same again to go on")


def _work(job: Job, frozen: Frozen, shards: range, options: argparse.Namespace, stop: threading.Event) -> None:
    device = options.device or Settings.from_environment().device
    num_batches = min(available_cores(), MOST_BATCHES)
    num_threads = available_cores() // num_batches
    classifier, model = load_classifier(job.request.model, device=device, num_threads=num_threads)
    capacity = Capacity(options.processes or available_cores(), options.memory, num_batches)
    total = min(shards.stop * job.request.shard_size, frozen.num_objects) - shards.start * job.request.shard_size
    with tqdm(total=total, unit=" objects", disable=None, smoothing=0.05) as bar:

        def show(progress: WorkerProgress) -> None:
            bar.update(progress.tally.num_objects + progress.num_in_work - bar.n)

        sort_shards(
            job, frozen, shards, classifier=classifier, model=model, capacity=capacity, stop=stop, on_progress=show
        )


def _say_what_would_be_done(request: SortRequest) -> None:
    """Lists the source, writes nothing."""
    job = Job("dry-run", request)
    num_objects = size_bytes = 0
    for item in job.source.list():
        num_objects, size_bytes = num_objects + 1, size_bytes + item.size_bytes
        if num_objects == request.limit:
            break
    num_shards = -(-num_objects // request.shard_size)
    made = [name for name in ("copies", "tags", "dicom") if getattr(request, name)]
    print(f"Would sort {num_objects:,} objects, {size_bytes / 1e9:,.2f} GB, in {num_shards:,} shards")
    print(f"  from {job.source.url}\n  to   {job.destination.url}\n  by   {request.model}")
    print(
        f"  making manifest.jsonl, manifest.csv, manifest.parquet, summary.html{''.join(f', {name}' for name in made)}"
    )


def _in_words(frozen: Frozen) -> str:
    carried = f", {frozen.num_carried:,} of them as they were" if frozen.num_carried else ""
    return f"{frozen.num_objects:,} objects, {frozen.size_bytes / 1e9:,.2f} GB, {frozen.num_shards:,} shards{carried}"


def _print_result(job: Job, tally: Tally) -> None:
    for name, counts in (("", tally.decisions), ("  ", tally.codes)):
        for value, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])):
            print(f"  {name}{value:<24}{count:>12,}")
    print(f"Results are in {job.folder.url}; to take all back: python -m service undo {job.destination.url} {job.id}")


def _end_with_stdin() -> None:
    """Ends this process, at any moment, when whoever holds the other end of its standard input is gone."""
    while os.read(0, 1024):  # sys.stdin would hold a lock that the interpreter wants at its end
        pass
    os._exit(INTERRUPTED)


def _yield_to_others() -> None:
    """Run only on processors that nobody else wants; the reading processes inherit it."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)
