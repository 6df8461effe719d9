"""The sorter against Ceph radosgw on loopback: throughput, memory, and 20 times kill -9 while calls fail.

python -m tests.benchmarks.sorting {throughput,memory,kills}
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import boto3
import numpy as np
import psutil
import pytest
import torch

from samx.architecture import ArchitectureConfig
from samx.classifier import Classifier, load_classifier
from samx.manifest import Manifest
from samx.phantom import export_phantom
from samx.preprocessing import PreprocessingConfig
from samx.storage import LocalStorage, Storage, StoredObject, open_storage
from service.sorting.job import create_job, make_request
from service.sorting.manifest import freeze
from service.sorting.merging import merge
from service.sorting.patience import PatientStorage
from service.sorting.reading import FETCHES_PER_PROCESS, Readers, ReadingConfig
from service.sorting.shards_in_work import BATCH_SIZE
from service.sorting.sorter import Capacity, sort_shards
from tests import s3_server, small_artifact
from tests.faulty_proxy import faulty_proxy
from tests.samx.files import dicom, real_folder

CORES = len(os.sched_getaffinity(0))
WARM = 64
"""Objects after which processes, caches and kernels are warm."""
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


def sort_command(source: str, destination: str, model: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "service", "sort", source, destination, "--model", str(model), "--job", "job", *more]


def throughput(folder: Path, options: argparse.Namespace) -> None:
    """The sorter against fetching, reading and classifying alone: same cores, same run, rounds that alternate.

    Rates are steady ones: of what comes after the first `WARM` objects, of the sorter as of the others. What the start,
    the listing and the merge add is said apart, and is part of "from listing to merge".
    """
    model = artifact(folder, options.backbone)
    classifier, manifest = load_classifier(model)
    torch.set_num_threads(1)
    number = options.num_objects
    rates, seconds = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    with ceph(folder):
        source, local = open_storage(f"{BUCKET}/in"), LocalStorage(folder / "local")
        fill(source, folder, number)
        items = list(source.list())
        for item in items:
            local.write(item.key, source.read(item.key))
        config = ReadingConfig(local.url, False, classifier.spec.preprocessing, 64 * 1024**2)
        image = np.random.default_rng(1).integers(0, 255, (224, 224), np.uint8)
        batches = [[image] * BATCH_SIZE] * (min(number, options.num_classified) // BATCH_SIZE)
        began = time.perf_counter()
        subprocess.run(sort_command(f"{BUCKET}/in", f"{BUCKET}/one", model, "--limit", "1"), check=True)
        seconds["the whole command for one object"].append(time.perf_counter() - began)
        for turn in range(options.rounds):
            rates["fetching alone"].append(_steady(_fetch(PatientStorage(source), items)))
            with Readers(config, CORES) as readers:
                rates["reading alone"].append(_steady(_read(readers, list(local.list()))))
            rates["classifying alone"].append(_steady(_classify(classifier, batches)))
            _sort(folder, f"turn-{turn}", classifier, manifest, rates, seconds)
            print(f"round {turn + 1}: { ({what: round(found[-1], 1) for what, found in rates.items()}) }", flush=True)
    for what, measured in (*rates.items(), *seconds.items()):
        unit = "objects/s" if what in rates else "s"
        print(f"{what:<34}{median(measured):8.1f} {unit:<11}{[round(value, 1) for value in measured]}")
    fetching, reading, classifying, sorting = (
        np.array(rates[what]) for what in ("fetching alone", "reading alone", "classifying alone", "sorting")
    )
    slowest = np.minimum(np.minimum(fetching, reading), classifying)
    one_after_another = 1 / (1 / fetching + 1 / reading + 1 / classifying)
    print(f"sorting / the slowest alone        {np.median(sorting / slowest):.2f}")
    print(f"all three in turn / the slowest    {np.median(one_after_another / slowest):.2f}")
    print(f"sorting / all three in turn        {np.median(sorting / one_after_another):.2f}")


def _steady(counts: Iterable[int]) -> float:
    """Objects per second of what comes after the first `WARM`."""
    num_done, began, num_before = 0, 0.0, 0
    for count in counts:
        num_done += count
        if not began and num_done >= WARM:
            began, num_before = time.perf_counter(), num_done
    return (num_done - num_before) / (time.perf_counter() - began)


def _fetch(source: PatientStorage, items: list[StoredObject]) -> Iterator[int]:
    with ThreadPoolExecutor(FETCHES_PER_PROCESS * CORES) as pool:
        for _ in pool.map(lambda item: len(source.read_listed(item)), items):
            yield 1


def _read(readers: Readers, items: list[StoredObject]) -> Iterator[int]:
    num_given, num_taken = 0, 0
    while num_taken < len(items):
        while num_given < len(items) and readers.has_room:
            readers.give(num_given, items[num_given])
            num_given += 1
        if readers.take(1) is not None:
            num_taken += 1
            yield 1


def _classify(classifier: Classifier, batches: list[list[Any]]) -> Iterator[int]:
    with ThreadPoolExecutor(CORES) as pool:
        yield from map(len, pool.map(classifier.classify, batches))


def _sort(
    folder: Path,
    name: str,
    classifier: Classifier,
    manifest: Manifest,
    rates: dict[str, list[float]],
    seconds: dict[str, list[float]],
) -> None:
    """What the command does once it has loaded its model."""
    request = make_request(
        source=f"{BUCKET}/in", destination=f"{BUCKET}/{name}", model=str(folder / "models"), shard_size=512
    )
    began = time.perf_counter()
    job = create_job(request, name)
    frozen = freeze(job, threading.Event())
    listed = time.perf_counter()
    seen: list[tuple[float, int]] = []
    sort_shards(
        job,
        frozen,
        range(frozen.num_shards),
        classifier=classifier,
        model=manifest,
        capacity=Capacity(CORES, 128 * 1024**2, CORES),
        stop=threading.Event(),
        on_progress=lambda now: seen.append((time.perf_counter(), now.tally.num_objects + now.num_in_work)),
    )
    sorted_at = time.perf_counter()
    merge(job, frozen)
    warm_at, num_warm = next(entry for entry in seen if entry[1] >= WARM)
    rates["sorting"].append((frozen.num_objects - num_warm) / (sorted_at - warm_at))
    rates["sorting, from listing to merge"].append(frozen.num_objects / (time.perf_counter() - began))
    seconds["listing and freezing"].append(listed - began)
    seconds[f"until {WARM} objects are sorted"].append(warm_at - listed)
    seconds["merging"].append(time.perf_counter() - sorted_at)


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
    parser.add_argument("--num-classified", type=int, default=320, help="images that are classified alone in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="samx-sorting-") as folder:
        {"throughput": throughput, "memory": memory, "kills": kills}[options.what](Path(folder), options)


if __name__ == "__main__":
    main()
