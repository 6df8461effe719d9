"""`python -m loadtest --artifact MODEL`: makes phantoms, starts a service, lets locust load it, and stops it.

Exit code: 0 all thresholds held, 1 one was not, 2 the service did not start.
"""

import argparse
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

START_SECONDS = 180.0
EXPORTS = {"small": ("36", "320"), "large": ("18", "2140")}
"""Name: radiographs, pixels of the long side. Their sites use four to five transfer syntaxes."""


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--artifact", required=True, help="folder or s3:// URL of a model")
    parser.add_argument("--port", type=int, default=3100)
    parser.add_argument("--out", type=Path, default=Path(".demo/load"), help="phantoms, jobs and report.html")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, (number, size) in EXPORTS.items():
        folder = options.out / name
        if not (folder / "truth.csv").exists():
            command = [sys.executable, "-m", "samx.phantom", "--out", str(folder), "--size", size, "--seed", "7"]
            subprocess.run([*command, "--num-radiographs", number], check=True)  # noqa: S603  # our own command
    url = f"http://127.0.0.1:{options.port}"
    serve = [sys.executable, "-m", "service", "serve", "--artifact", options.artifact, "--port", str(options.port)]
    environment = {"SAMX_JOBS": str((options.out / "jobs").resolve()), **os.environ}
    service = subprocess.Popen(serve, env=environment)  # noqa: S603  # our own command
    try:
        if not _is_ready(url, service):
            print("the service did not start; the lines above say why", file=sys.stderr)
            return 2
        locust = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless", "--host", url]
        settings = {"SAMX_LOAD_FILES": str(options.out), **os.environ}
        report = ["--html", str(options.out / "report.html"), "--only-summary"]
        return subprocess.run([*locust, *report], env=settings, check=False).returncode  # noqa: S603
    finally:
        service.terminate()
        service.wait()


def _is_ready(url: str, service: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline and service.poll() is None:
        try:
            with opener.open(f"{url}/readyz", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    return False


if __name__ == "__main__":
    sys.exit(main())
