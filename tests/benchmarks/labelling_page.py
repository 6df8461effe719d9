"""How quick the labelling page is with a hospital's pool: key press to next cluster, the map, the server's memory.

    python -m tests.benchmarks.labelling_page [--radiographs 42608] [--clusters 1000] [--size 128] [--presses 100]

Features and thumbnails are made up. The page runs in Chromium, headless; times are the browser's own, from the key
press to the second frame after the next sheet is in place. A press names the cluster (Enter accepts the suggestion), so
that every one is also a decision that the server writes down.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser import CHROMIUM, FLAGS
from tests.training.labelling.made_run import make_run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--radiographs", type=int, default=42_608)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--presses", type=int, default=100)
    parser.add_argument("--pause-seconds", type=float, default=0.5, help="between key presses: a quick reader's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"making a run of {options.radiographs} radiographs in {options.clusters} clusters", flush=True)
        make_run(
            Path(folder), num_radiographs=options.radiographs, num_clusters=options.clusters, size=options.size, dim=256
        )
        started = time.monotonic()
        command = [sys.executable, "-m", "training", "labelling", "--run", f"{folder}/run", "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            address = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+", line)))
            print(f"the server answers after {time.monotonic() - started:.1f} s", flush=True)
            with sync_playwright() as playing:
                browser = playing.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                _measure(page, address, options.presses, options.pause_seconds)
                browser.close()
            print(f"server memory: {_peak_megabytes(process.pid):.0f} MB at most")
        finally:
            process.terminate()
            process.wait(timeout=20)
    return 0


def _measure(page: Page, address: str, presses: int, pause_seconds: float) -> None:
    started = time.monotonic()
    page.goto(address)
    page.get_by_label("Initials").fill("AB")
    page.keyboard.press("Enter")
    page.locator("#sheet button, #sheet canvas").first.wait_for()
    print(f"the page is there after {time.monotonic() - started:.2f} s")
    page.wait_for_timeout(3000)
    for _ in range(presses):
        page.keyboard.press("Enter")
        page.wait_for_timeout(1000 * pause_seconds)
    times = sorted(_durations(page, "next cluster"))
    print(f"key press to next cluster, {len(times)} presses: median {statistics.median(times):.0f} ms, "
          f"95 % within {times[int(0.95 * len(times)) - 1]:.0f} ms, slowest {times[-1]:.0f} ms")  # fmt: skip
    page.keyboard.press("Alt+2")
    while not _durations(page, "map"):  # not wait_for_function: the page's policy forbids its eval
        page.wait_for_timeout(100)
    print(f"map: {_durations(page, 'map')[0]:.0f} ms")
    page.keyboard.press("Alt+3")
    page.locator("#audit-strip button, #audit-strip canvas").first.wait_for(timeout=120_000)


def _durations(page: Page, name: str) -> list[float]:
    found: list[float] = page.evaluate("(name) => performance.getEntriesByName(name).map((one) => one.duration)", name)
    return found


def _peak_megabytes(pid: int) -> float:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
