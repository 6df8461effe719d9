"""The service against its own pipeline and against plain servers: `python -m tests.benchmarks.serving`.

All sides have the same weights (ResNet-50, 224 pixels, random) and take turns in every round, on the same cores as the
clients; a side that is not asked is stopped. Our `student` sides answer by a smaller network (`--student`), as an
artifact with `[distill]` does on CPUs; the peers run the ResNet-50. Bodies: a 2140 x 1760 DICOM of 14 bits in 16,
uncompressed, and a JPEG of 320 pixels. Then latency at 80 % of capacity, and what Grad-CAM adds to a request that comes
alone. Ratios are medians of the rounds' ratios. Exits with 1 where a promise is not kept.

    python -m tests.benchmarks.serving --litserve-python ENVIRONMENT/bin/python
"""

import argparse
import asyncio
import contextlib
import heapq
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from samx.architecture import Backbone
from samx.cores import available_cores
from tests.benchmarks.engine import STUDENT_BACKBONE
from tests.benchmarks.http_load import Connection, Outcome, Target, open_loop, percentiles
from tests.benchmarks.served_model import bodies, write_models
from tests.benchmarks.serving_sides import InProcess, ServerSide, start_ours, start_peer

Side = ServerSide | InProcess

PEERS = ("bentoml", "fastapi", "litserve")
VARIANTS = ("fp32", "int8", "student")
AT_LEAST_OF_PIPELINE, AT_LEAST_OF_PEER = 0.9, 3.0
P99_AT_MOST, OF_CONSTANT_SPEED_AT_MOST, GRAD_CAM_AT_MOST = 3.0, 1.15, 0.15
UTILISATION = 0.8


def compare(
    sides: list[Side], bodies_: dict[str, bytes], *, clients: list[int], seconds: float, rounds: int
) -> tuple[dict[tuple[str, str], float], list[str]]:
    """Print the table of throughput.

    Returns:
        Capacity in requests/s by variant and body (median, the best number of clients), and what was not kept.
    """
    print(
        "| body | clients | side | requests/s | ours / side | student / side | p50 ms | p99 ms | client ms | not 200 |"
    )
    print("| --- " * 10 + "|")
    capacity: dict[tuple[str, str], float] = {}
    broken: list[str] = []
    for kind, body in bodies_.items():
        for num_clients in clients:
            runs: dict[str, list[Outcome]] = {side.name: [] for side in sides}
            for _ in range(rounds):
                for side in sides:
                    runs[side.name].append(side.load(kind, body, num_clients=num_clients, seconds=seconds))
            where = f"{kind}, {num_clients} clients"
            for name, outcomes in runs.items():
                variant = next((v for v in VARIANTS if name.endswith(v)), "fp32")
                ratio, by_student = (_ratio(runs[f"ours {v}"], outcomes) for v in (variant, "student"))
                print(_row(kind, num_clients, name, outcomes, ratio, by_student), flush=True)
                if any(outcome.errors for outcome in outcomes) and name.startswith("ours"):
                    broken.append(f"{where}: {name} answers every request with 200")
                if name.startswith("in-process") and ratio < AT_LEAST_OF_PIPELINE:
                    broken.append(f"{where}: {variant} at least {AT_LEAST_OF_PIPELINE} of {name} ({ratio:.2f})")
                if name in PEERS and by_student < AT_LEAST_OF_PEER:
                    broken.append(f"{where}: the student at least {AT_LEAST_OF_PEER} times {name} ({by_student:.2f})")
                if name.startswith("ours"):
                    rate = statistics.median(outcome.rate for outcome in outcomes)
                    capacity[variant, kind] = max(rate, capacity.get((variant, kind), 0.0))
    return capacity, broken


def _ratio(ours: list[Outcome], others: list[Outcome]) -> float:
    return statistics.median(one.rate / other.rate for one, other in zip(ours, others, strict=True))


def _row(kind: str, num_clients: int, name: str, outcomes: list[Outcome], ratio: float, by_student: float) -> str:
    rate = statistics.median(outcome.rate for outcome in outcomes)
    answered = sum(outcome.statuses[200] for outcome in outcomes)
    p50, p99 = percentiles([second for outcome in outcomes for second in outcome.seconds])
    if name.startswith("in-process"):
        latency = " |  | "
    else:
        client = 1000 * sum(outcome.client_seconds for outcome in outcomes) / max(answered, 1)
        latency = f"{p50:.0f} | {p99:.0f} | {client:.1f}"
    errors = ", ".join(f"{count} x {what}" for outcome in outcomes for what, count in outcome.errors.items())
    return (
        f"| {kind} | {num_clients} | {name} | {rate:.1f} | {ratio:.2f} | {by_student:.2f} | {latency} | {errors or 0} |"
    )


def at_four_fifths(
    side: ServerSide, bodies_: dict[str, bytes], capacity: dict[tuple[str, str], float], seconds: float
) -> list[str]:
    """Print latency at 80 % of capacity, of evenly spaced and of random (Poisson) requests; what was not kept.

    Beside it stands what the same requests would have taken of workers that need the same time for each: at random
    arrivals even those keep some waiting for long.
    """
    print("\n| body | requests/s | arrivals | requests | p50 ms | p99 ms | p99 / p50 | of constant speed | not 200 |")
    print("| --- " * 9 + "|")
    broken: list[str] = []
    for kind, body in bodies_.items():
        rate = UTILISATION * capacity["fp32", kind]
        chance = random.Random(0)
        even = [number / rate for number in range(int(seconds * rate))]
        poisson = [0.0]
        while poisson[-1] < seconds:
            poisson.append(poisson[-1] + chance.expovariate(rate))
        for arrivals, moments in (("even", even), ("Poisson", poisson)):
            with side.awake():
                outcome = asyncio.run(open_loop(Target(side.port, side.request(kind, body)), moments))
            p50, p99 = percentiles(outcome.seconds)
            ideal_p50, ideal_p99 = percentiles(constant_speed(moments, available_cores(), rate / UTILISATION))
            ideal = ideal_p99 / ideal_p50
            figures = f"{len(moments)} | {p50:.0f} | {p99:.0f} | {p99 / p50:.2f} | {ideal:.2f} | {outcome.errors or 0}"
            print(f"| {kind} | {rate:.1f} | {arrivals} | {figures} |", flush=True)
            most = max(P99_AT_MOST, OF_CONSTANT_SPEED_AT_MOST * ideal)
            if not p99 <= most * p50 or outcome.errors:
                promise = f"p99 at most {most:.2f} x p50 at {UTILISATION:.0%} of capacity, all answered"
                broken.append(f"{kind}, {arrivals} arrivals: {promise} ({p99 / p50:.2f})")
    return broken


def constant_speed(moments: Sequence[float], num_workers: int, capacity: float) -> list[float]:
    """Seconds from each request to its answer, by a queue in front of workers that all need the same time for each.

    Args:
        moments: when requests come, in ascending order.
        num_workers: how many are worked on at a time.
        capacity: requests per second that all workers together answer.
    """
    free, seconds = [0.0] * num_workers, []
    for moment in moments:
        begun = max(heapq.heappop(free), moment)
        seconds.append(begun + num_workers / capacity - moment)
        heapq.heappush(free, begun + num_workers / capacity)
    return seconds


def grad_cam(sides: list[ServerSide], bodies_: dict[str, bytes], rounds: int) -> list[str]:
    """Print the latency of single requests without heat map, with it in JSON, and as a PNG; what was not kept."""
    print("\n| engine | body | without ms | grad_cam=true, JSON ms | added | overlay alone, PNG ms | added |")
    print("| --- " * 7 + "|")
    broken: list[str] = []
    for side in sides:
        for kind, body in bodies_.items():
            requests = [
                side.request(kind, body),
                side.request(kind, body, "/classify?grad_cam=true"),
                side.request(kind, body, Accept="image/png"),
            ]
            with side.awake():
                plain, heat, png = asyncio.run(_in_turn([Target(side.port, request) for request in requests], rounds))
            added = [with_it / plain - 1 for with_it in (heat, png)]
            row = f"{plain:.1f} | {heat:.1f} | {added[0]:.1%} | {png:.1f} | {added[1]:.1%}"
            print(f"| {side.name.removeprefix('ours ')} | {kind} | {row} |", flush=True)
            if side.name == "ours fp32" and added[0] > GRAD_CAM_AT_MOST:
                broken.append(f"{kind}: Grad-CAM adds at most {GRAD_CAM_AT_MOST:.0%} ({added[0]:.1%})")
    return broken


async def _in_turn(targets: list[Target], rounds: int) -> list[float]:
    """Median milliseconds of each request, one after another, the first two rounds left out."""
    connection, times = Connection(targets[0].port), list[list[float]]()
    for _ in range(rounds + 2):
        times.append([])
        for target in targets:
            begun = time.perf_counter()
            reply = await connection.ask(target.request)
            times[-1].append(1000 * (time.perf_counter() - begun))
            assert reply.status == 200, reply.body[:500]
    connection.close()
    return [statistics.median(column) for column in zip(*times[2:], strict=True)]


def has_litserve(python: str) -> bool:
    """Whether this interpreter can serve by LitServe."""
    tried = subprocess.run([python, "-c", "import litserve, samx"], capture_output=True, check=False)
    return tried.returncode == 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="of each side in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--student", choices=get_args(Backbone), default=STUDENT_BACKBONE, help="its backbone")
    parser.add_argument("--litserve-python", default=sys.executable, help="an interpreter that has litserve")
    parser.add_argument("--form", action="store_true", help="send ours a form too, as the peers get, not the raw body")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s and 8 clients: does it run at all?")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds, options.clients = 2.0, 1, [8]
    if "litserve" in options.peers and not has_litserve(options.litserve_python):
        print("LitServe is left out: --litserve-python names no interpreter that has it", flush=True)
        options.peers.remove("litserve")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        models, sent = write_models(folder, options.student), bodies()
        sides: list[Side] = []

        def keep(side: Side) -> None:
            stack.callback(side.stop)
            sides.append(side)

        for variant in VARIANTS:
            keep(start_ours(f"ours {variant}", models[variant], folder, as_form=options.form))
            keep(InProcess(f"in-process {variant}", models[variant]))
        for peer in options.peers:
            keep(start_peer(peer, models["fp32"], folder, options.litserve_python))
        print(f"{', '.join(f'{kind} {len(body) / 1e6:.2f} MB' for kind, body in sent.items())}\n", flush=True)
        for side in sides:  # warm
            for kind, body in sent.items():
                side.load(kind, body, num_clients=8, seconds=1)
        capacity, broken = compare(sides, sent, clients=options.clients, seconds=options.seconds, rounds=options.rounds)
        ours = [side for side in sides if isinstance(side, ServerSide) and side.name.startswith("ours")]
        broken += at_four_fifths(ours[0], sent, capacity, 4 * options.seconds)
        if not options.form:
            broken += grad_cam(ours, sent, 10 if options.quick else 60)
    print(f"\n{time.monotonic() - begun:.0f} s")
    print("\n".join(f"NOT KEPT: {promise}" for promise in broken) or "all promises kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
