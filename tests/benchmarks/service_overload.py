"""The service under far more clients than it can serve: `python -m tests.benchmarks.service_overload`.

A server process of its own with a model of random weights; clients are coroutines of one process on the same cores, so
that they take from its capacity. They honour Retry-After. Measured: capacity (8 clients) and latency of one client,
then `--clients` for `--seconds`, then both again. Exits with 1 where a promise is not kept.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.service.conftest import Server, start_server
from tests.small_artifact import synthetic_png, write_small_artifact

ALLOWED = {200, 429, 503}


@dataclass
class Answers:
    """What a crowd of clients got."""

    statuses: Counter[int] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """Latency of those that were classified."""
    begun: float = field(default_factory=time.monotonic)
    ended: float = 0.0

    @property
    def rate(self) -> float:
        """Radiographs classified per second."""
        return self.statuses[200] / (self.ended - self.begun)


async def crowd(url: str, body: bytes, *, num_clients: int, seconds: float) -> Answers:
    """Clients that each ask again as soon as they are answered, or when they were told to come back."""
    answers = Answers()
    until = time.monotonic() + seconds
    await asyncio.gather(*(_client(url, body, until, answers) for _ in range(num_clients)))
    answers.ended = time.monotonic()
    return answers


async def _client(url: str, body: bytes, until: float, answers: Answers) -> None:
    address = urlsplit(url)
    head = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    reader = writer = None
    while time.monotonic() < until:
        begun = time.monotonic()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection(address.hostname, address.port)
            assert reader is not None
            writer.write(request)
            await writer.drain()
            status, retry_after, closes = await _answer(reader)
        except (OSError, EOFError) as error:
            answers.lost[type(error).__name__] += 1
            writer = None
            continue
        answers.statuses[status] += 1
        if status == 200:
            answers.seconds.append(time.monotonic() - begun)
        if closes:
            writer.close()
            writer = None
        if status in (429, 503):
            await asyncio.sleep(min(retry_after, max(0.0, until - time.monotonic())))
    if writer is not None:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, float, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    else:
        await reader.readexactly(int(headers["content-length"]))
    return int(lines[0].split()[1]), float(headers.get("retry-after", 0)), headers.get("connection") == "close"


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
    body = synthetic_png(3, (320, 320))
    await crowd(server.url, body, num_clients=8, seconds=5)
    capacity = await crowd(server.url, body, num_clients=8, seconds=min(15, seconds))
    before = await crowd(server.url, body, num_clients=1, seconds=3)
    steady = memory_of(server.process)
    memory: list[float] = [steady]
    watching = asyncio.create_task(_watch_memory(server, memory))
    over = await crowd(server.url, body, num_clients=num_clients, seconds=seconds)
    watching.cancel()
    await asyncio.sleep(2)
    after = await crowd(server.url, body, num_clients=1, seconds=3)
    medians = [statistics.median(answers.seconds) for answers in (before, after)]
    again = await crowd(server.url, body, num_clients=8, seconds=min(15, seconds))
    full = (capacity.rate + again.rate) / 2
    goodput, growth = over.rate / full, max(memory) / steady - 1
    print(f"capacity, 8 clients: {capacity.rate:.0f} radiographs/s before, {again.rate:.0f} after")
    print(
        f"{num_clients} clients for {seconds:g} s: {over.rate:.0f} radiographs/s classified, {goodput:.1%} of capacity"
    )
    print(f"  answers: {dict(over.statuses)}; lost: {dict(over.lost)}")
    p99 = statistics.quantiles(over.seconds, n=100)[98] if len(over.seconds) > 1 else 0.0
    print(f"  latency of those classified: p50 {statistics.median(over.seconds):.3f} s, p99 {p99:.3f} s")
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
    parser.add_argument("--artifact", help="another model than one of random weights")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        artifact = options.artifact or str(write_small_artifact(Path(folder)))
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
