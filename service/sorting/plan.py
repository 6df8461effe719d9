"""What it takes to sort a large bucket by an Indexed Job: time, requests and money, by simulation.

`python -m service plan` prints a table over sizes of shards and numbers of workers. The figures of one worker are
measured ones, from the command line; prices are the reader's own, from a file. Nothing is contacted.

The simulation: every index has its range of shards; as many indexes run at a time as there are workers. A shard takes
the mean time of its objects, times a factor of its node (log-normal: stragglers) and one of its own. A pod is taken
away after a time that is exponentially distributed (pre-emption); the shard in work is lost, another pod waits for a
node, starts, and goes on behind the last finished shard. Seeded: the same figures give the same plan.
"""

import argparse
import heapq
import math
import random
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pydantic

from samx.errors import WrongInput
from service.sorting import request_counts
from service.sorting.request_counts import KINDS, Work


class Prices(pydantic.BaseModel):
    """What the reader pays; the defaults are round examples, no provider's."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    currency: str = "EUR"
    worker_hour: float = pydantic.Field(default=0.08, ge=0)
    """Of one worker as measured."""
    read_million: float = pydantic.Field(default=0.4, ge=0)
    """A million of get and head requests."""
    write_million: float = pydantic.Field(default=5.0, ge=0)
    """A million of put, copy, list and tag requests."""
    gigabyte_read: float = pydantic.Field(default=0.0, ge=0)
    """10^9 bytes from the bucket to a worker; often free within a region."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker, as measured on two cores with Ceph beside (tests/benchmarks/README.md); waits and spreads assumed."""

    objects_per_second: float
    """That it sorts, the rest of its machine idle."""
    start_seconds: float = 6.0
    """From its process' start to the first object."""
    wait_seconds: float = 60.0
    """From an eviction to the next pod's start."""
    listed_per_second: float = 2000.0
    """Keys frozen by the one that lists."""
    merged_per_second: float = 3300.0
    """Rows merged by the one that merges."""
    node_spread: float = 0.2
    """Standard deviation of the logarithm of a node's factor."""
    shard_spread: float = 0.1
    """The same of a shard's."""
    preemptions_per_hour: float = 0.0
    """Of a pod."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan comes to."""

    seconds: float
    """From the listing to the merged files."""
    worker_seconds: float
    """That are paid: of all pods, from their start to their end."""
    num_starts: int
    """Pods that were started."""
    num_lost_objects: int
    """Sorted again, as their shard was lost."""
    requests: Counter[str]
    gigabytes_read: float


def simulate(work: Work, worker: Worker, *, num_workers: int, num_indexes: int, seed: int) -> Outcome:
    """One run of the job.

    Args:
        work: what is sorted.
        worker: the figures of one of them.
        num_workers: pods at a time.
        num_indexes: completions of the Indexed Job.
        seed: of all chances.
    """
    chance = random.Random(seed)  # noqa: S311  # a simulation
    listing = work.num_objects / worker.listed_per_second
    free = [listing] * min(num_workers, num_indexes)
    heapq.heapify(free)
    worker_seconds, num_starts, num_lost = listing, 0, 0
    for index in range(num_indexes):
        start = heapq.heappop(free)
        first, last = (i * work.num_shards // num_indexes for i in (index, index + 1))
        clock, paid, starts, lost = _run_index(work, worker, first, last, start, chance)
        worker_seconds += paid
        num_starts += starts
        num_lost += lost
        heapq.heappush(free, clock)
    merging = worker.start_seconds + work.num_objects / worker.merged_per_second
    requests = (
        request_counts.of_listing(work) + request_counts.of_shards(work) + request_counts.of_merge(work, alone=True)
    )
    for number in range(num_starts + 1):  # and the merge
        requests += request_counts.of_start(work, is_first=number == 0, num_results=work.num_shards // 2)
    requests["get"] += num_lost
    requests += request_counts.of_seconds(worker_seconds)
    worker_seconds += merging
    gigabytes = (work.num_objects + work.num_described + num_lost) * work.mean_object_bytes / 1e9
    return Outcome(max(free) + merging, worker_seconds, num_starts, num_lost, requests, gigabytes)


def _run_index(
    work: Work, worker: Worker, first: int, last: int, start: float, chance: random.Random
) -> tuple[float, float, int, int]:
    """When an index has ended, what of that was paid, how many pods it took, and objects that were lost."""
    clock, paid, starts, lost, shard = start, 0.0, 0, 0, first
    while True:
        starts += 1
        pod_start = clock
        evicted = clock + _exponential(chance, worker.preemptions_per_hour / 3600)
        node = math.exp(chance.gauss(0, worker.node_spread))
        clock += worker.start_seconds
        while shard < last:
            num_objects = min(work.shard_size, work.num_objects - shard * work.shard_size)
            seconds = num_objects / worker.objects_per_second * node * math.exp(chance.gauss(0, worker.shard_spread))
            if clock + seconds > evicted:
                lost += int(num_objects * max(0.0, evicted - clock) / seconds)
                break
            clock, shard = clock + seconds, shard + 1
        if shard == last:
            return clock, paid + clock - pod_start, starts, lost
        paid += evicted - pod_start
        clock = evicted + worker.wait_seconds


def _exponential(chance: random.Random, rate: float) -> float:
    uniform = chance.random()  # drawn in any case, so that the other chances stay the same
    return -math.log(1 - uniform) / rate if rate > 0 else math.inf


def cost(outcome: Outcome, prices: Prices) -> dict[str, float]:
    """Money by what it goes to."""
    written = sum(outcome.requests[kind] for kind in ("list", "put", "copy", "tag"))
    return {
        "workers": outcome.worker_seconds / 3600 * prices.worker_hour,
        "requests": ((outcome.requests.total() - written - outcome.requests["delete"]) * prices.read_million
                     + written * prices.write_million) / 1e6,
        "transfer": outcome.gigabytes_read * prices.gigabyte_read,
    }  # fmt: skip


def read_prices(path: str | None) -> Prices:
    """Prices from a file.

    Raises:
        WrongInput: it cannot be read, or holds something else.
    """
    if path is None:
        return Prices()
    try:
        return Prices.model_validate(tomllib.loads(Path(path).read_text()))
    except (OSError, ValueError) as error:
        raise WrongInput(f"{path}: {error}") from None


def plan_table(options: argparse.Namespace) -> str:
    """The table that `python -m service plan` prints.

    Raises:
        WrongInput: a figure is not positive, or the prices cannot be read.
    """
    figures = (options.objects, options.rate, options.megabytes, *options.workers, *options.shard_sizes)
    if min(figures) <= 0 or options.preemptions_per_hour < 0 or not 0 <= options.dicom_share <= 1:
        raise WrongInput("numbers of objects, megabytes, rates, workers and sizes of shards have to be positive")
    prices = read_prices(options.prices)
    worker = Worker(options.rate, preemptions_per_hour=options.preemptions_per_hour)
    lines = [
        f"{options.objects:,} objects of {options.megabytes:g} MB, {options.rate:g} objects/s a worker, "
        f"{options.preemptions_per_hour:g} pre-emptions per pod and hour",
        f"{'shard':>6}{'workers':>9}{'hours':>9}{'pods':>8}{'lost':>9}{'requests':>14}"
        f"{'workers ' + prices.currency:>14}{'requests ' + prices.currency:>14}{'sum ' + prices.currency:>12}",
    ]
    for shard_size in options.shard_sizes:
        work = Work(
            num_objects=options.objects,
            shard_size=shard_size,
            mean_object_bytes=options.megabytes * 1e6,
            num_copied=options.objects if options.copies else 0,
            num_described=round(options.objects * options.dicom_share),
            merged_row_bytes=400,
        )
        for num_workers in options.workers:
            indexes = min(4 * num_workers, work.num_shards)
            outcome = simulate(work, worker, num_workers=num_workers, num_indexes=indexes, seed=options.seed)
            money = cost(outcome, prices)
            lines.append(
                f"{shard_size:>6}{num_workers:>9}{outcome.seconds / 3600:>9.1f}{outcome.num_starts:>8,}"
                f"{outcome.num_lost_objects:>9,}{sum(outcome.requests[kind] for kind in KINDS):>14,}"
                f"{money['workers']:>14,.2f}{money['requests']:>14,.2f}{sum(money.values()):>12,.2f}"
            )
    return "\n".join(lines)
