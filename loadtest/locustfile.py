"""Users of a SAM-X service, for locust: `python -m locust -f loadtest/locustfile.py --headless --host URL`.

Every request ends as good, refused (429, 503: the user comes back when Retry-After says) or failed. At the end
`thresholds.py` judges; exit code 1 where something was not held. Settings: `settings.py`.
"""

import random
import time
from typing import Any

import gevent
from locust import FastHttpUser, LoadTestShape, events, task

from loadtest.settings import LoadSettings
from loadtest.thresholds import Outcome, Record, breaches, table

SETTINGS = LoadSettings.from_environment()
FILES = [path.read_bytes() for path in sorted(SETTINGS.files.rglob("*.dcm"))]
if not FILES:
    raise SystemExit(f"no *.dcm in {SETTINGS.files}: make some with `python -m samx.phantom`, see loadtest/README.md")

BAD_FILES = {  # what is sent, and the documented problem
    b"": (400, "empty_file"),
    b"Dear colleague": (415, "unknown_format"),
    b"PK\x03\x04" + bytes(2000): (415, "unknown_format"),
    FILES[0][:200]: (422, None),  # ends in its File Meta Information
}
BOUNDARY = "samx-load-test-boundary"

records: list[Record] = []
_began = time.monotonic()


@events.test_start.add_listener
def _begin(**_: Any) -> None:
    global _began  # noqa: PLW0603  # one test per process
    _began = time.monotonic()
    records.clear()


@events.quitting.add_listener
def _judge(environment: Any, **_: Any) -> None:
    print("\n" + table(records, SETTINGS))
    found = breaches(records, SETTINGS)
    for breach in found:
        print(f"NOT HELD  {breach}")
    if not found:
        print("All thresholds are held.")
    environment.process_exit_code = 1 if found else 0


class Stages(LoadTestShape):
    """Ramp, steady state, spike, recovery."""

    def tick(self) -> tuple[int, float] | None:
        """Users, and how many come or go per second."""
        num_users = SETTINGS.num_users(self.get_run_time())
        return None if num_users is None else (num_users, 100.0)


class Integrator(FastHttpUser):
    """Sends radiographs as a picture archive or a worklist does."""

    network_timeout = 120.0

    def wait_time(self) -> float:
        """Seconds until the next request."""
        return random.uniform(0.5, 1.5) * SETTINGS.think_seconds

    @task(60)
    def classify(self) -> None:
        """One radiograph."""
        self._ask("classify", "/classify?top_k=3", random.choice(FILES))

    @task(12)
    def grad_cam(self) -> None:
        """With its heat map."""
        self._ask("grad_cam", "/classify?grad_cam=true", random.choice(FILES))

    @task(5)
    def overlay(self) -> None:
        """The picture alone."""
        self._ask("overlay", "/classify", random.choice(FILES), accept="image/png")

    @task(5)
    def batch(self) -> None:
        """Several radiographs."""
        files = random.choices(FILES, k=SETTINGS.batch_files)
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="radiograph"\r\n\r\n'.encode()
        body = b"".join([*(head + data + b"\r\n" for data in files), f"--{BOUNDARY}--\r\n".encode()])
        self._ask("batch", "/classify_batch", body, media_type=f"multipart/form-data; boundary={BOUNDARY}")

    @task(10)
    def sort_status(self) -> None:
        """The list of jobs; a service without any says so."""
        self._ask("sort_status", "/sort?limit=10", None, expected=((200, None), (403, "sorting_is_off")))

    @task(8)
    def bad_file(self) -> None:
        """What is no radiograph."""
        data = random.choice(list(BAD_FILES))
        self._ask("bad_file", "/classify", data, expected=(BAD_FILES[data],))

    def _ask(
        self,
        kind: str,
        path: str,
        body: bytes | None,
        *,
        media_type: str = "application/octet-stream",
        accept: str = "application/json",
        expected: tuple[tuple[int, str | None], ...] = ((200, None),),
    ) -> None:
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = media_type
        if SETTINGS.api_key:
            headers["Authorization"] = f"Bearer {SETTINGS.api_key}"
        begun, method = time.monotonic(), "GET" if body is None else "POST"
        with self.client.request(method, path, name=kind, data=body, headers=headers, catch_response=True) as response:
            outcome = _outcome(response, expected, num_files=SETTINGS.batch_files if kind == "batch" else 0)
            if outcome == "failed":
                response.failure(f"{response.status_code} {_code(response)}")
            else:
                response.success()
            if outcome == "refused":
                response.request_meta["name"] = f"{kind} (refused)"
            pause = float(response.headers.get("Retry-After", 1)) if outcome == "refused" else 0.0
        now = time.monotonic()
        records.append(Record(now - _began, kind, now - begun, outcome))
        gevent.sleep(pause)


def _outcome(response: Any, expected: tuple[tuple[int, str | None], ...], *, num_files: int) -> Outcome:
    if response.status_code in (429, 503):
        return "refused"
    if not any(response.status_code == status and code in (None, _code(response)) for status, code in expected):
        return "failed"
    if num_files:
        answers = response.json()["answers"]
        answered = len(answers) == num_files and all(answer["classification"] for answer in answers)
        busy = any((answer["problem"] or {}).get("status") == 503 for answer in answers)
        return "good" if answered else "refused" if busy else "failed"
    return "good"


def _code(response: Any) -> str | None:
    """Of a problem; None where the answer is none."""
    try:
        code = response.json().get("code")
    except (ValueError, AttributeError, TypeError):
        return None
    return str(code)
