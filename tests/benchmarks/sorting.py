"""The sorter against Ceph radosgw on loopback: throughput, memory, and 20 times kill -9 while calls fail.

python -m tests.benchmarks.sorting {throughput,memory,kills}
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import psutil
import pytest
import torch

from samx.classifier import load_classifier
from samx.network import ArchitectureConfig
from samx.phantom import export_phantom
from samx.preprocessing import PreprocessingConfig
from samx.storage import LocalStorage, Storage, open_storage
from service.sorting.patience import PatientStorage
from service.sorting.reading import FETCHES_PER_PROCESS, Readers, ReadingConfig
from service.sorting.sorter import BATCH_SIZE
from tests import s3_server, small_artifact
from tests.faulty_proxy import faulty_proxy
from tests.samx.files import dicom, real_folder

CORES = len(os.sched_getaffinity(0))
BUCKET = "s3://sorting"


@contextmanager
def ceph(folder: Path) -> Iterator[s3_server.S3Server]:
    """A server with one bucket, in this process' environment."""
    (folder / "ceph").mkdir()
    with s3_server._ceph(folder / "ceph") as server:
        os.environ.update(server.environment)
        boto3.client("s3").create_bucket(Bucket=BUCKET.removeprefix("s3://"))
        yield server


def artifact(folder: Path, backbone: str) -> Path:
    """A model of random weights with this backbone, at 224 pixels."""
    spec = small_artifact.small_spec(
        architecture=ArchitectureConfig(backbone=backbone), preprocessing=PreprocessingConfig(size=224)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_artifact, "small_spec", lambda: spec)
        return small_artifact.write_small_artifact(folder / "models")


def fill(storage: Storage, folder: Path, num_objects: int) -> None:
    """Real radiographs where they are at hand, else phantoms, pictures, and 5 % that is neither."""
    export_phantom(folder / "phantom", num_radiographs=64, seed=1, size=1200, workers=CORES)
    paths = sorted((folder / "phantom" / "radiographs").glob("*.dcm"))
    if real := real_folder():
        paths += sorted(real.glob("dicom/**/*.dcm")) + sorted(real.glob("images/**/*.*"))[:200]
    good = cycle(
        [path.read_bytes() for path in paths] + [small_artifact.synthetic_png(n, (1500, 1200)) for n in range(16)]
    )
    bad = cycle([b"", b"Dear colleague", paths[0].read_bytes()[:3000], small_artifact.synthetic_png(1)[:300]])
    entries = [(f"{n:05d}", next(bad) if n % 20 == 7 else next(good)) for n in range(num_objects)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda entry: storage.write(*entry), entries))


def timed(what: str, num_objects: int, work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    rate = num_objects / (time.perf_counter() - began)
    print(f"{what:<22}{rate:8.1f} objects/s", flush=True)
    return rate


def sort_command(source: str, destination: str, model: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "service", "sort", source, destination, "--model", str(model), "--job", "job", *more]


def throughput(folder: Path, options: argparse.Namespace) -> None:
    """The sorter against fetching, reading and classifying alone, on the same cores in the same run."""
    model = artifact(folder, options.backbone)
    classifier, _ = load_classifier(model)
    torch.set_num_threads(CORES)
    number = options.num_objects
    with ceph(folder):
        source = open_storage(f"{BUCKET}/in")
        fill(source, folder, number)
        items = list(source.list())
        patient = PatientStorage(source)
        with ThreadPoolExecutor(FETCHES_PER_PROCESS * CORES) as pool:
            fetching = timed(
                "fetching alone", number, lambda: list(pool.map(lambda i: len(patient.read_listed(i)), items))
            )
        local = LocalStorage(folder / "local")
        for item in items:
            local.write(item.key, source.read(item.key))
        config = ReadingConfig(local.url, False, classifier.spec.preprocessing, 128 * 1024**2)
        with Readers(config, CORES) as readers:
            _read_all(readers, list(local.list())[:64])  # the processes have started
            reading = timed("reading alone", number, lambda: _read_all(readers, local.list()))
        image = np.random.default_rng(1).integers(0, 255, (224, 224), np.uint8)
        batches = [[image] * BATCH_SIZE] * (number // BATCH_SIZE)
        classifier.classify(batches[0])
        classifying = timed(
            "classifying alone", len(batches) * BATCH_SIZE, lambda: [*map(classifier.classify, batches)]
        )
        began = time.perf_counter()
        process = subprocess.Popen(
            sort_command(f"{BUCKET}/in", f"{BUCKET}/out", model), stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()  # "Job ...": the listing is frozen
        sorting = timed("sorting, with start", number, process.wait)
        assert process.returncode == 0
        print(f"listing and imports {time.perf_counter() - began - number / sorting:.1f} s")
    slowest = min(fetching, reading, classifying)
    together = 1 / (1 / fetching + 1 / reading + 1 / classifying)
    print(f"sorting / slowest {sorting / slowest:.2f}; sorting / all three, one after another {sorting / together:.2f}")


def _read_all(readers: Readers, items: Iterable[Any]) -> None:
    waiting, num_given, num_taken = list(items), 0, 0
    while num_taken < len(waiting):
        while num_given < len(waiting) and readers.has_room:
            readers.give(num_given, waiting[num_given])
            num_given += 1
        num_taken += readers.take(1) is not None


def memory(folder: Path, options: argparse.Namespace) -> None:
    """The largest sum of what the sorter's processes hold for themselves, with 64 objects of 60 MB among others."""
    model = artifact(folder, options.backbone)
    source = open_storage(folder / "in")
    fill(source, folder, 400)
    pixels = np.random.default_rng(1).integers(0, 4096, (6000, 5000), np.uint16)
    for number in range(64):
        source.write(f"large/{number:02d}.dcm", dicom(pixels, InstanceNumber=number))
    process = subprocess.Popen(sort_command(source.url, str(folder / "out"), model))
    largest, shares = 0, list[int]()
    while process.poll() is None:
        with_children = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        held = []
        for pid in with_children:
            with suppress(psutil.NoSuchProcess):
                held.append(psutil.Process(pid).memory_full_info().pss)
        if sum(held) > largest:
            largest, shares = sum(held), [round(share / 1e6) for share in held]
        time.sleep(0.05)
    print(f"exit code {process.returncode}, peak {largest / 1e9:.2f} GB: MB per process {shares}")


def kills(folder: Path, options: argparse.Namespace) -> None:
    """Two workers on the same shards, killed at 20 random moments, one call in twenty failing; then one to the end."""
    model, moments, threads = artifact(folder, "resnet18_slim"), random.Random(options.seed), CORES
    with ceph(folder) as server:
        fill(open_storage(f"{BUCKET}/in"), folder, options.num_objects)
        before = {item.key: item.etag for item in open_storage(f"{BUCKET}/in").list()}
        more = ("--copies", "--dicom", "--shard-size", "4", "--processes", str(threads))
        subprocess.run(sort_command(f"{BUCKET}/in", f"{BUCKET}/calm", model, *more), check=True)
        results = open_storage(f"{BUCKET}/disturbed/_sort/job/work/results")
        num_alive, num_results = 0, list[int]()
        with faulty_proxy(server.endpoint, share=0.05, seed=options.seed) as proxy:
            environment = {**os.environ, "AWS_ENDPOINT_URL": proxy.endpoint}
            command = sort_command(f"{BUCKET}/in", f"{BUCKET}/disturbed", model, *more)
            for _ in range(20):
                workers = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
                _wait_for_more(results, len(num_results) and num_results[-1])
                time.sleep(moments.uniform(0, 1.5))
                for worker in workers:
                    num_alive += worker.poll() is None
                    worker.kill()
                    worker.wait()
                num_results.append(len(list(results.list())))
            subprocess.run(command, env=environment, check=True)
            print(f"shards with a result after each kill: {num_results}")
            print(f"{num_alive} of 40 processes killed at work, {proxy.num_calls} calls, faults {dict(proxy.faults)}")
        places = [open_storage(f"{BUCKET}/{name}") for name in ("calm", "disturbed")]
        for name in ("manifest.jsonl", "manifest.csv", "manifest.parquet", "summary.html"):
            same = len({place.read(f"_sort/job/{name}") for place in places}) == 1
            print(f"{name}: {'identical' if same else 'DIFFERENT'}")
        copies = [
            {i.key: i.etag for i in place.list() if not i.key.startswith(("_sort/", "_jobs/"))} for place in places
        ]
        print(f"{len(copies[0])} copies and the marker: {'identical' if copies[0] == copies[1] else 'DIFFERENT'}")
        undone = [sys.executable, "-m", "service", "undo", places[1].url, "job"]
        subprocess.run(undone, check=True)
        print(f"after undo {len(list(places[1].list()))} objects are left")
        after = {item.key: item.etag for item in open_storage(f"{BUCKET}/in").list()}
        print(f"etags of the source: {'unchanged' if before == after else 'CHANGED'}")


def _wait_for_more(results: Storage, num_before: int) -> None:
    """Until the workers have started and are at work, or have nothing left to do."""
    deadline = time.monotonic() + 30
    while len(list(results.list())) == num_before and time.monotonic() < deadline:
        time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("throughput", "memory", "kills"))
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--num-objects", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="samx-sorting-") as folder:
        {"throughput": throughput, "memory": memory, "kills": kills}[options.what](Path(folder), options)


if __name__ == "__main__":
    main()
