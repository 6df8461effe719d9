"""The long run over broken files: `python -m tests.benchmarks.fuzzing [--inputs 100000] [--first 0] [--workers 2]`.

Prints how many were read and refused, by code, the slowest, and every failure; exits with 1 if there was one.
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from tests.samx.files import real_folder
from tests.samx.reading.fuzz_process import Report, read_all

_BATCH = 2500


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    real = real_folder()
    started = time.monotonic()
    parts = [
        range(options.first + at, options.first + options.inputs, options.workers) for at in range(options.workers)
    ]
    with ThreadPoolExecutor(options.workers) as threads, tqdm(total=options.inputs, unit="input") as progress:

        def read_part(numbers: range) -> list[Report]:
            reports = []
            for at in range(0, len(numbers), _BATCH):
                reports.append(read_all(numbers[at : at + _BATCH], real))
                progress.update(len(numbers[at : at + _BATCH]))
            return reports

        reports = [report for part in threads.map(read_part, parts) for report in part]
    outcomes: Counter[str] = sum((report.outcomes for report in reports), Counter())
    slowest = max(reports, key=lambda report: report.slowest_seconds)
    failures = [failure for report in reports for failure in report.failures]
    print(f"{sum(outcomes.values())} inputs in {time.monotonic() - started:.0f} s")
    for outcome, count in outcomes.most_common():
        print(f"{count:>8}  {outcome}")
    print(f"slowest: {slowest.slowest_seconds:.2f} s of processor time (input {slowest.slowest_number})")
    print("\n".join(["failures:", *failures] if failures else ["no failures"]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
