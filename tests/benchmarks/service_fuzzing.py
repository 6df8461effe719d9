"""Hostile bodies for a running service: `python -m tests.benchmarks.service_fuzzing [--inputs 50000]`.

The reader's broken files, one in four of them as a form, one in twenty with a broken form or header. Every answer has
to be one that /openapi.json describes, none a 500, and the service's memory, at rest, has to stay flat from 30 % to the
end. Exits with 1 if not.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from tqdm import tqdm

from service.memory import GIVE_BACK_SECONDS
from service.schemas import Classification, Problem
from tests.benchmarks.service_overload import memory_of
from tests.samx.reading.fuzzing import broken_file
from tests.service.conftest import Server, start_server
from tests.small_artifact import synthetic_png, write_small_artifact

BOUNDARY = b"boundary"


def request_of(number: int) -> tuple[bytes, dict[str, str]]:
    """The n-th body and its headers; always the same."""
    rng = random.Random(number)
    data = broken_file(number, None)
    if rng.random() < 0.75:
        content_type = rng.choice(("application/dicom", "application/octet-stream", "image/png", "image/jpeg", ""))
        return data, {"Content-Type": content_type} if content_type else {}
    disposition = b'form-data; name="file"; filename="a.dcm"'
    form = b"--%s\r\nContent-Disposition: %s\r\n\r\n%s\r\n--%s--\r\n" % (BOUNDARY, disposition, data, BOUNDARY)
    if rng.random() < 0.2:
        place = rng.randrange(min(len(form), 200))
        broken = rng.choice(
            (form[:place], form[:place] + rng.randbytes(9) + form[place:], form[: -rng.randrange(1, 40)])
        )
        return broken, {"Content-Type": f"multipart/form-data; boundary={rng.choice(('boundary', 'other', ''))}"}
    return form, {"Content-Type": "multipart/form-data; boundary=boundary"}


class Clients:
    """Send the requests of some numbers, a connection per thread."""

    def __init__(self, server: Server) -> None:
        self.outcomes: Counter[str] = Counter()
        self.failures: list[str] = []
        self._server, self._local = server, threading.local()
        document = server.client.get("/openapi.json").json()
        self._described = set(document["paths"]["/classify"]["post"]["responses"])

    def send(self, number: int) -> None:
        """Send one and judge its answer."""
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = httpx.Client(base_url=self._server.url, timeout=60, trust_env=False)
        body, headers = request_of(number)
        response = client.post("/classify", content=body, headers=headers)
        try:
            if str(response.status_code) not in self._described:
                raise ValueError("not described")
            if response.status_code == 200:
                Classification.model_validate_json(response.content)
                outcome = "200"
            else:
                outcome = f"{response.status_code} {Problem.model_validate_json(response.content).code}"
        except ValueError as error:
            self.failures.append(f"input {number}: {response.status_code} {error}")
            outcome = f"{response.status_code} FAILURE"
        self.outcomes[outcome] += 1


def _parts(num_inputs: int, num_parts: int) -> Iterator[range]:
    size = max(1, num_inputs // num_parts)
    yield from (range(start, min(start + size, num_inputs)) for start in range(0, num_inputs, size))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--artifact", help="another model than a small one of random weights")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        running = start_server(Path(folder), SAMX_ARTIFACT=options.artifact or str(write_small_artifact(Path(folder))))
        server = next(running)
        try:
            clients, memory, at_rest = Clients(server), list[float](), list[float]()
            with ThreadPoolExecutor(4) as threads, tqdm(total=options.inputs, unit="body") as progress:
                for part in _parts(options.inputs, 20):
                    list(threads.map(clients.send, part))
                    memory.append(memory_of(server.process))
                    progress.update(len(part))
                    if len(memory) in (6, 20):
                        time.sleep(1.5 * GIVE_BACK_SECONDS)
                        at_rest.append(memory_of(server.process))
            alive = server.classify(synthetic_png(1)).status_code == 200
        finally:
            running.close()
    for outcome, count in clients.outcomes.most_common():
        print(f"{count:>8}  {outcome}")
    growth = at_rest[-1] / at_rest[0] - 1
    print(f"memory, MB, every twentieth: {' '.join(f'{megabytes:.0f}' for megabytes in memory)}")
    print(f"at rest {at_rest[0]:.0f} MB after 30 %, {at_rest[-1]:.0f} at the end, {growth:+.1%}")
    print("\n".join(["failures:", *clients.failures] if clients.failures else ["no failures"]))
    return int(bool(clients.failures) or growth > 0.05 or not alive)


if __name__ == "__main__":
    sys.exit(main())
