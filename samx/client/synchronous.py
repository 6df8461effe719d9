"""The client for programs without an event loop."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

import httpx

from samx.client import answers, calls
from samx.client.bodies import Source
from samx.client.calls import Call
from samx.client.retrying import Attempts, Retry

_Answer = TypeVar("_Answer")


class Client:
    """A SAM-X service; may be shared between threads.

    Every method raises `samx.errors.ServiceProblem` with the service's `code` where the service says no (its subclass
    `ServiceBusy` where it still does after all retries), `ServiceUnreachable` where nobody answers, and
    `UnexpectedAnswer` where something else than a SAM-X service does.

    Args:
        url: of the service, for example "http://127.0.0.1:3000".
        api_key: where the service asks for one.
        timeout_seconds: for connecting, and for each wait for bytes to be sent or received.
        retry: how patient to be with a service that is busy or out of reach.
        options: of `httpx.Client`, for example `verify` with the hospital's own certificate authority.

    Example:
        ```python
        with Client("https://samx.example", api_key="0123456789abcdef") as client:
            print(client.model().version)
        ```
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
        retry: Retry | None = None,
        **options: Any,
    ) -> None:
        self._retry, self._timeout_seconds = retry or Retry(), timeout_seconds
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(base_url=url, headers=headers, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Example: `client.close()`, or use the client in a `with` statement."""
        self._http.close()

    def classify(self, source: Source, *, top_k: int | None = None, grad_cam: bool = False) -> answers.Classification:
        """What a radiograph shows.

        Args:
            source: path or bytes of a DICOM, PNG, JPEG or TIFF file.
            top_k: classes to answer; 3 where not given.
            grad_cam: also answer a heat map.

        Raises:
            OSError: the file cannot be read.

        Example:
            ```python
            answer = client.classify("radiograph.dcm", top_k=1)
            print(answer.decision, answer.classes[0].label)
            ```
        """
        return self._ask(calls.classify(source, top_k=top_k, grad_cam=grad_cam))

    def overlay(self, source: Source) -> bytes:
        """The radiograph with the heat map of its most probable class over it, a PNG.

        Example: `Path("overlay.png").write_bytes(client.overlay("radiograph.dcm"))`
        """
        return self._ask(calls.overlay(source))

    def classify_batch(self, sources: Sequence[Source], *, top_k: int | None = None) -> list[answers.FileAnswer]:
        """An answer for each of several radiographs in one request, in their order; a bad file harms no other.

        The service limits the number of files, 256 by default.

        Example:
            ```python
            for answer in client.classify_batch(sorted(Path("export").glob("*.dcm"))):
                print(answer.classification.decision if answer.classification else answer.problem.code)
            ```
        """
        return self._ask(calls.classify_batch(sources, top_k=top_k)).answers

    def model(self) -> answers.ModelDescription:
        """The model that is served. Example: `client.model().review_thresholds["knee"]`."""
        return self._ask(calls.model())

    def reload_model(self) -> answers.Reloaded:
        """Serve the current version; needs an admin key. Example: `client.reload_model().changed`."""
        return self._ask(calls.reload_model())

    def sort(
        self,
        source: str,
        destination: str,
        *,
        copies: bool = False,
        tags: bool = False,
        dicom: bool = False,
        limit: int | None = None,
        requester_pays: bool = False,
        shard_size: int = 512,
    ) -> answers.SortJob:
        """Begin to sort a bucket; the same order again is the same job until that has ended.

        Args:
            source: URL of what is sorted; only read.
            destination: URL where rows and copies are written.
            copies: copy every object to a folder of its label.
            tags: tag the copies.
            dicom: write accepted DICOM files again, with what they show.
            limit: sort the first so many objects only.
            requester_pays: the source's bucket charges its readers.
            shard_size: objects that are done again after an interruption, at most.

        Example: `job = client.sort("s3://export/2026", "s3://sorted", copies=True)`
        """
        order = {"copies": copies, "tags": tags, "dicom": dicom, "limit": limit}
        order |= {"requester_pays": requester_pays, "shard_size": shard_size}
        return self._ask(calls.sort(source=source, destination=destination, **order))

    def sort_job(self, job_id: str) -> answers.SortJobWithProgress:
        """A job and how far it is. Example: `client.sort_job(job.id).progress.num_sorted`."""
        return self._ask(calls.sort_job(job_id))

    def cancel(self, job_id: str) -> answers.SortJob:
        """End a job; what it has made stays. Example: `client.cancel(job.id)`."""
        return self._ask(calls.cancel(job_id))

    def jobs(self, *, page_size: int = 50) -> Iterator[answers.SortJob]:
        """All jobs, the newest first, fetched page by page. Example: `[job.state for job in client.jobs()]`."""
        after: str | None = ""
        while after is not None:
            page = self._ask(calls.jobs(after, page_size))
            yield from page.jobs
            after = page.next

    def wait_for_job(
        self,
        job_id: str,
        *,
        progress: Callable[[answers.SortJobWithProgress], object] | None = None,
        poll_seconds: float = 1.0,
        timeout_seconds: float | None = None,
    ) -> answers.SortJobWithProgress:
        """The job once it has ended; look at its `state`.

        Args:
            job_id: of `sort`.
            progress: called with every look at the job, the last one included.
            poll_seconds: time between looks.
            timeout_seconds: how long to wait; None for ever.

        Raises:
            TimeoutError: it has not ended; it goes on.

        Example: `client.wait_for_job(job.id, progress=lambda job: print(job.progress.num_sorted))`
        """
        began = time.monotonic()
        while True:
            job = self.sort_job(job_id)
            if progress is not None:
                progress(job)
            if job.is_finished:
                return job
            if timeout_seconds is not None and time.monotonic() - began + poll_seconds > timeout_seconds:
                raise TimeoutError(f"job {job_id} is {job.state} after {timeout_seconds:g} seconds")
            time.sleep(poll_seconds)

    def _ask(self, call: Call[_Answer]) -> _Answer:
        attempts = Attempts(self._retry)
        while True:
            content = call.body.chunks() if call.body else None
            request = self._http.build_request(**call.options(self._timeout_seconds), content=content)
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = self._http.send(request)
            except httpx.TransportError as error:
                outcome = error
            pause = call.pause(attempts, outcome)
            if pause is None:
                return call.read(outcome)  # type: ignore[arg-type]  # without a response `pause` raises
            time.sleep(pause)
