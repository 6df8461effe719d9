"""The command as a process: watching, and yielding to others."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from samx.storage import open_storage
from tests.service.sorting.conftest import fill, listing, sort, start_sort
from tests.small_artifact import synthetic_png

pytestmark = pytest.mark.slow


def wait_for(look: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


def test_watching_sorts_what_is_new_makes_nothing_otherwise_and_ends_when_told(
    tmp_path: Path, small_artifact: Path
) -> None:
    source, out = open_storage(tmp_path / "in"), open_storage(tmp_path / "out")
    log = (tmp_path / "log").open("w+b")
    options = ("--model", str(small_artifact), "--processes", "1", "--watch", "0.2")
    worker = start_sort(source.url, out.url, *options, output=log)

    def said(what: str, after: int = 0) -> int:
        """Where in the log it says so, 0 for nowhere."""
        assert worker.poll() is None, (tmp_path / "log").read_text()
        found = re.compile(what).search((tmp_path / "log").read_text(), after)
        return found.end() if found else 0

    def num_rows() -> list[int]:
        done = [key for key in listing(out, "_sort/") if key.endswith("/manifest.jsonl")]
        return sorted(len(out.read(key).splitlines()) for key in done)

    try:
        wait_for(lambda: said("there is nothing to sort"))
        assert listing(out) == {}, "an empty source is waited for"
        fill(source, {"1.png": synthetic_png(1), "2.png": synthetic_png(2)})
        sorted_at = wait_for(lambda: said("Results are in"))
        quiet_at = wait_for(lambda: said("Nothing new", sorted_at))
        before = listing(out)
        wait_for(lambda: said("Nothing new", wait_for(lambda: said("Nothing new", quiet_at))))
        os.kill(worker.pid, signal.SIGSTOP)  # between two looks or in one: either way only marks of a job come and go
        assert {key for key in set(listing(out)) - set(before) if not key.startswith(("_jobs/", "_sort/"))} == set()
        os.kill(worker.pid, signal.SIGCONT)
        fill(source, {"3.png": synthetic_png(3)})
        wait_for(lambda: said("Results are in", quiet_at))
        assert said("1 shards, 2 of them as they were", quiet_at)
        assert num_rows() == [2, 3]
        wait_for(lambda: said("Nothing new", said("Results are in", quiet_at)))
        worker.terminate()
        assert worker.wait(60) == 75
        assert num_rows() == [2, 3]
    finally:
        worker.kill()
        worker.wait()
        log.close()


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux has this policy")
def test_in_the_background_all_processes_take_idle_processors_only(tmp_path: Path, small_artifact: Path) -> None:
    fill(open_storage(tmp_path / "in"), {f"{number:04d}.png": synthetic_png(number % 9) for number in range(2000)})
    options = ("--model", str(small_artifact), "--processes", "1", "--background")
    worker = start_sort(str(tmp_path / "in"), str(tmp_path / "out"), *options)
    try:

        def policies() -> list[int]:
            readers = [child for child in psutil.Process(worker.pid).children() if "spawn_main" in str(child.cmdline())]
            return [os.sched_getscheduler(pid) for pid in (worker.pid, *(child.pid for child in readers)) if readers]

        assert wait_for(policies) == [os.SCHED_IDLE] * 2
        worker.terminate()
        worker.communicate(timeout=60)
        assert worker.returncode == 75
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.communicate()


def test_a_signal_ends_a_sort_and_the_same_again_finishes_it(tmp_path: Path, small_artifact: Path) -> None:
    fill(open_storage(tmp_path / "in"), {f"{number:04d}.png": synthetic_png(number % 9) for number in range(1500)})
    options = ("--model", str(small_artifact), "--processes", "1", "--job", "job", "--shard-size", "50")
    worker = start_sort(str(tmp_path / "in"), str(tmp_path / "out"), *options)
    out = open_storage(tmp_path / "out")
    wait_for(lambda: listing(out, "_sort/job/work/results/"))
    worker.terminate()
    output, _ = worker.communicate(timeout=30)
    assert worker.returncode == 75, output
    assert b"run the same again" in output
    assert not out.exists("_sort/job/done.json")
    assert sort(str(tmp_path / "in"), str(tmp_path / "out"), *options) == 0
    assert len(out.read("_sort/job/manifest.jsonl").splitlines()) == 1500
