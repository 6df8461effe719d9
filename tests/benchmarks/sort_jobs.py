"""Jobs of `POST /sort`: what they do to requests beside them, how soon they end, how a long list pages.

python -m tests.benchmarks.sort_jobs {beside,cancel,list}
"""

import argparse
import itertools
import random
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import psutil

from samx.storage import open_storage
from service.sorting.job import SortRequest
from service.sorting.registry import JobRecord, Registry
from tests.benchmarks.sorting import BUCKET, CORES, artifact, ceph, fill
from tests.samx.files import dicom
from tests.service.conftest import Server, start_server
from tests.small_artifact import synthetic_png

CLIENTS = 8


@contextmanager
def service(folder: Path, backbone: str) -> Iterator[Server]:
    """A service whose jobs are in the bucket."""
    (folder / "server").mkdir()
    settings = {"SAMX_ARTIFACT": str(artifact(folder, backbone)), "SAMX_JOBS": f"{BUCKET}/jobs"}
    yield from start_server(folder / "server", **settings)


def beside(folder: Path, options: argparse.Namespace) -> None:
    """Latency of /classify at half of its capacity, with and without a job of the same service, taking turns."""
    bodies = [dicom(np.random.default_rng(1).integers(0, 4096, (2140, 1760), np.uint16)), synthetic_png(1, (320, 320))]
    with ceph(folder), service(folder, options.backbone) as server:
        fill(open_storage(f"{BUCKET}/in"), folder, options.num_objects)
        capacity = _capacity(server, bodies, options.seconds)
        print(f"capacity with {CLIENTS} clients: {capacity:.1f} requests/s", flush=True)
        order = {"source": f"{BUCKET}/in", "shard_size": 64}
        alone, together, rates = list[list[float]](), list[list[float]](), list[float]()
        for turn in range(options.turns):
            alone.append(_latencies(server, bodies, capacity / 2, options.seconds))
            begun = server.client.post("/sort", json=order | {"destination": f"{BUCKET}/out-{turn}"}).json()
            _wait_until_at_work(server, begun["id"])
            together.append(_latencies(server, bodies, capacity / 2, options.seconds))
            job = server.client.get(f"/sort/{begun['id']}").json()
            rates.append(job["progress"]["objects_per_second"])
            if job["state"] != "running":
                print(f"turn {turn}: the job ended early, as {job['state']}: give it more objects")
            if turn + 1 < options.turns:
                server.client.delete(f"/sort/{begun['id']}")
        for name, turns in (("alone", alone), ("beside a job", together)):
            p99 = [1000 * quantiles(turn, n=100)[98] for turn in turns]
            print(f"{name:<14} p50 {1000 * median(map(median, turns)):6.1f} ms, p99 per turn {_rounded(p99)}")
        ratios = [quantiles(b, n=100)[98] / quantiles(a, n=100)[98] for a, b in zip(alone, together, strict=True)]
        print(f"p99 beside / alone: median {median(ratios):.2f} of {_rounded(ratios, 2)}")
        print(f"the job beside requests: {_rounded(rates)} objects/s")
        while (job := server.client.get(f"/sort/{begun['id']}").json())["state"] == "running":
            time.sleep(0.5)
        print(f"the last job: {job['state']}, {job['progress']['num_sorted']} of {options.num_objects} objects")


def _post(server: Server, body: bytes) -> None:
    assert server.classify(body).status_code == 200


def _capacity(server: Server, bodies: list[bytes], seconds: float) -> float:
    """Answers per second with clients that ask again as soon as they are answered."""
    stop, counts = time.perf_counter() + seconds, [0] * CLIENTS

    def ask(client: int) -> None:
        for body in itertools.cycle(bodies):
            if time.perf_counter() > stop:
                return
            _post(server, body)
            counts[client] += 1

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, range(CLIENTS)))
    return sum(counts) / seconds


def _latencies(server: Server, bodies: list[bytes], rate: float, seconds: float) -> list[float]:
    """Seconds from when a request is due to its answer; requests come at random, however slow the answers are."""
    moments, due, found = random.Random(1), 0.0, list[float]()
    began = time.perf_counter()

    def ask(due: float, body: bytes) -> None:
        _post(server, body)
        found.append(time.perf_counter() - began - due)

    with ThreadPoolExecutor(64) as pool:
        for body in itertools.cycle(bodies):
            due += moments.expovariate(rate)
            if due > seconds:
                break
            time.sleep(max(0.0, due - (time.perf_counter() - began)))
            pool.submit(ask, due, body)
    return found


def _wait_until_at_work(server: Server, job_id: str) -> None:
    while True:
        job = server.client.get(f"/sort/{job_id}").json()
        assert job["state"] in ("waiting", "running"), job
        if job["progress"]["num_sorted"] + job["progress"]["num_in_work"]:
            return
        time.sleep(0.2)


def cancel(folder: Path, options: argparse.Namespace) -> None:
    """Seconds from DELETE until no process of the job is left, at random moments of its work."""
    moments, answered, taken = random.Random(1), list[float](), list[float]()
    with ceph(folder), service(folder, options.backbone) as server:
        fill(open_storage(f"{BUCKET}/in"), folder, options.num_objects)
        for turn in range(options.turns):
            order = {"source": f"{BUCKET}/in", "destination": f"{BUCKET}/out-{turn}", "shard_size": 64}
            job_id = server.client.post("/sort", json=order).json()["id"]
            if turn % 2:
                _wait_until_at_work(server, job_id)
            time.sleep(moments.uniform(0, 3))
            processes = [p for p in psutil.process_iter() if job_id in _command(p)]
            processes += [child for process in processes for child in process.children(recursive=True)]
            began = time.perf_counter()
            assert server.client.delete(f"/sort/{job_id}").json()["state"] == "cancelled"
            answered.append(time.perf_counter() - began)
            while any(_is_at_work(process) for process in processes):
                time.sleep(0.01)
            taken.append(time.perf_counter() - began)
    print(f"{len(taken)} jobs cancelled, answered after {median(answered):.2f} s (longest {max(answered):.2f} s),")
    print(f"all their processes gone after {median(taken):.2f} s (longest {max(taken):.2f} s)")


def _is_at_work(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def list_jobs(folder: Path, options: argparse.Namespace) -> None:
    """Milliseconds for a page of 50 out of 10,000 jobs, and for the state of one."""
    with ceph(folder), service(folder, "resnet18_slim") as server:
        _write_records(f"{BUCKET}/jobs", options.num_jobs)
        pages, after, num_found = list[float](), "", 0
        while after is not None:
            began = time.perf_counter()
            page = server.client.get(f"/sort?limit=50&after={after}").json()
            pages.append(time.perf_counter() - began)
            num_found += len(page["jobs"])
            after = page["next"]
        assert num_found == options.num_jobs
        milliseconds = [1000 * seconds for seconds in pages]
        print(f"{len(pages)} pages of 50: median {median(milliseconds):.0f} ms, longest {max(milliseconds):.0f} ms")
        print(
            f"first {milliseconds[0]:.0f}, middle {milliseconds[len(pages) // 2]:.0f}, last {milliseconds[-1]:.0f} ms"
        )


def _write_records(url: str, number: int) -> None:
    registry = Registry(url)
    request = SortRequest(source=f"{BUCKET}/in", destination=f"{BUCKET}/out", model="model")

    def write(index: int) -> None:
        record = JobRecord(id=f"job-{index:06d}", request=request, created_at=1.7e9 + index, state="done")
        registry.add_record(record)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(number)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("beside", "cancel", "list"))
    parser.add_argument("--backbone", default="resnet18_slim")
    parser.add_argument("--num-objects", type=int, default=2000)
    parser.add_argument("--num-jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    print(f"{CORES} cores, {options.backbone}", flush=True)
    with tempfile.TemporaryDirectory(prefix="samx-sort-jobs-") as folder:
        {"beside": beside, "cancel": cancel, "list": list_jobs}[options.what](Path(folder), options)


def _rounded(values: list[float], digits: int = 0) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


if __name__ == "__main__":
    main()
