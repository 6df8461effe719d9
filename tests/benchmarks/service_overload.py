"""The service under far more clients than it can serve: `python -m tests.benchmarks.service_overload`.

A server process of its own with the default network of random weights; clients are coroutines of one process on the
same cores, so that they take from its capacity. They honour Retry-After. Measured: capacity (8 clients) and latency of
one client, then `--clients` for `--seconds`, then both again. Exits with 1 where a promise is not kept.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.benchmarks.http_load import Target, closed_loop, percentiles, raw_request
from tests.benchmarks.served_model import write_models
from tests.service.conftest import Server, start_server
from tests.small_artifact import synthetic_png

ALLOWED = {200, 429, 503}


def memory_of(process: subprocess.Popen[bytes]) -> float:
    """Proportional set size of the server's processes, MB."""
    parent = psutil.Process(process.pid)
    return sum(one.memory_full_info().pss for one in (parent, *parent.children(recursive=True))) / 1e6


async def _watch_memory(server: Server, peak: list[float]) -> None:
    while True:
        peak.append(await asyncio.to_thread(memory_of, server.process))
        await asyncio.sleep(1)


async def measure(server: Server, *, num_clients: int, seconds: float) -> list[str]:
    """Print the figures; the promises that were not kept."""
    target = Target(
        urlsplit(server.url).port or 80, raw_request("/classify", synthetic_png(3, (320, 320)), "image/png")
    )
    await closed_loop(target, num_clients=8, seconds=5)
    capacity = await closed_loop(target, num_clients=8, seconds=min(15, seconds))
    before = await closed_loop(target, num_clients=1, seconds=3)
    steady = memory_of(server.process)
    memory: list[float] = [steady]
    watching = asyncio.create_task(_watch_memory(server, memory))
    over = await closed_loop(target, num_clients=num_clients, seconds=seconds)
    watching.cancel()
    await asyncio.sleep(2)
    after = await closed_loop(target, num_clients=1, seconds=3)
    medians = [statistics.median(outcome.seconds) for outcome in (before, after)]
    again = await closed_loop(target, num_clients=8, seconds=min(15, seconds))
    full = (capacity.rate + again.rate) / 2
    goodput, growth = over.rate / full, max(memory) / steady - 1
    print(f"capacity, 8 clients: {capacity.rate:.0f} radiographs/s before, {again.rate:.0f} after")
    print(
        f"{num_clients} clients for {seconds:g} s: {over.rate:.0f} radiographs/s classified, {goodput:.1%} of capacity"
    )
    print(f"  answers: {dict(over.statuses)}; lost: {dict(over.lost)}")
    p50, p99 = percentiles(over.seconds)
    print(f"  latency of those classified: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    print(f"memory: {steady:.0f} MB steady, {max(memory):.0f} MB at most, {growth:+.1%}")
    print(f"latency of one client: p50 {medians[0] * 1000:.1f} ms before, {medians[1] * 1000:.1f} ms 2 to 5 s after")
    return [
        promise
        for promise, kept in (
            ("every request is answered 200, 429 or 503", set(over.statuses) <= ALLOWED and not over.lost),
            ("goodput is at least 90 % of capacity", goodput >= 0.9),
            ("memory stays within 20 % of steady state", growth <= 0.2),
            ("latency is normal within 5 s", medians[1] <= 1.5 * medians[0]),
        )
        if not kept
    ]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--artifact", help="another model")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        artifact = options.artifact or str(write_models(Path(folder) / "models")["fp32"])
        running = start_server(Path(folder), SAMX_ARTIFACT=artifact)
        server = next(running)
        try:
            broken = asyncio.run(measure(server, num_clients=options.clients, seconds=options.seconds))
        finally:
            running.close()
    print("\n".join(f"NOT KEPT: {promise}" for promise in broken) or "all promises kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
