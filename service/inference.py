"""The way of one radiograph, and who may set out on it.

bytes -> worker thread: read -> micro-batcher: network -> answer

With a heat map, the picture below it is drawn in a worker thread meanwhile, and the answer is made in one.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from service import metrics
from service.appointments import Appointments
from service.problems import ProblemError
from service.serving import Served, Serving
from service.settings import Settings
from service.threads import Watched, WatchedThreads
from service.upload import Parameters

if TYPE_CHECKING:
    from samx.classifier import Prediction
    from service.heat_map import Picture
    from service.model import Reading
    from service.schemas import Classification


class Inference:
    """The requests that are in work or waiting. Used from one event loop at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._watched = Watched()
        self.serving = Serving(settings, self._watched)
        self._threads = WatchedThreads(settings.threads, self._watched)
        self._num_admitted = 0
        self._appointments = Appointments(settings.retry_after_seconds, first_rate=settings.threads)
        self.draining = False
        """Whether the service is about to stop: no more requests should be sent to it."""
        metrics.PLACES.set(self.num_places)

    def drain(self) -> None:
        """Say that no more requests should be sent here; what comes is answered all the same."""
        self.draining = True

    @property
    def is_ready(self) -> bool:
        """Whether requests should be sent here."""
        return self.serving.state == "ready" and not self.draining

    @property
    def is_alive(self) -> bool:
        """Whether a restart would be of no use: the model could be loaded, and no piece of work hangs."""
        return self.serving.state != "failed" and self._watched.longest_seconds <= self.settings.stuck_seconds

    @property
    def num_places(self) -> int:
        """Radiographs that may be in work or waiting."""
        return self.settings.threads + self.settings.max_waiting

    @contextlib.contextmanager
    def admitted(self, num_places: int = 1) -> "Iterator[Served]":
        """Hold some of the limited places, from before the body is read until the answer is made.

        Raises:
            ProblemError: 503, there are not so many places or the model is not ready.
        """
        served = self.serving.served
        if self._num_admitted + num_places > self.num_places:
            detail = f"{self.num_places} radiographs may be in work or waiting, and that is the case. Try again later."
            retry_after = {"Retry-After": str(self._appointments.next_seconds())}
            raise ProblemError(503, "busy", detail, retry_after)
        self._num_admitted += num_places
        metrics.PLACES_TAKEN.set(self._num_admitted)
        try:
            yield served
        finally:
            self._num_admitted -= num_places
            metrics.PLACES_TAKEN.set(self._num_admitted)

    @contextlib.asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.settings.request_timeout_seconds):
                yield
        except TimeoutError:
            detail = f"No answer within {self.settings.request_timeout_seconds:g} seconds. Try again later."
            retry_after = {"Retry-After": str(self._appointments.next_seconds())}
            raise ProblemError(503, "deadline_exceeded", detail, retry_after) from None

    async def classify(self, served: Served, data: memoryview, parameters: Parameters) -> "Classification":
        """The answer for one file.

        Raises:
            ProblemError: the file cannot be used, a parameter does not fit the model, or it takes too long.
        """
        async with self._deadline():
            reading = await self._read(served, data, parameters)
            if not parameters.grad_cam:
                prediction = await self._ask(served, reading, grad_cam=False)
                return _counted(served.model.answer(reading.radiograph, prediction, parameters))
            picture, prediction = await self._heated(served, reading, alone=True)
            begun = time.perf_counter()
            answer = await self._threads.run(served.model.answer, reading.radiograph, prediction, parameters, picture)
            metrics.observe_phase("grad_cam", time.perf_counter() - begun)
            return _counted(answer)

    async def overlay(self, served: Served, data: memoryview, parameters: Parameters) -> bytes:
        """The radiograph with its heat map over it, as a PNG.

        Raises:
            ProblemError: as `classify`.
        """
        async with self._deadline():
            reading = await self._read(served, data, parameters)
            picture, prediction = await self._heated(served, reading, alone=False)
            begun = time.perf_counter()
            png = await self._threads.run(served.model.overlay, picture, prediction)
            metrics.observe_phase("grad_cam", time.perf_counter() - begun)
            return png

    async def _read(self, served: Served, data: memoryview, parameters: Parameters) -> "Reading":
        served.model.check(parameters)
        begun = time.perf_counter()
        reading = await self._threads.run(served.model.read, data)
        metrics.observe_phase("read", time.perf_counter() - begun)
        return reading

    async def _ask(self, served: Served, reading: "Reading", *, grad_cam: bool) -> "Prediction":
        prediction = await served.batcher.submit(served.model.question(reading, grad_cam=grad_cam))
        self._appointments.count_served()
        return prediction

    async def _heated(self, served: Served, reading: "Reading", *, alone: bool) -> "tuple[Picture, Prediction]":
        """The prediction with its heat, and the picture below it, which is drawn while the network computes."""
        draw = functools.partial(served.model.picture, alone=alone)
        drawing = asyncio.ensure_future(self._threads.run(draw, reading))
        try:
            prediction = await self._ask(served, reading, grad_cam=True)
            return await drawing, prediction
        finally:
            drawing.cancel()


def _counted(answer: "Classification") -> "Classification":
    best, agrees = answer.classes[0], answer.tag.agrees
    metrics.DECISIONS.labels(answer.decision).inc()
    metrics.CLASSES.labels(best.label).inc()
    metrics.PROBABILITY.observe(best.probability)
    metrics.TAGS.labels("unknown" if agrees is None else "yes" if agrees else "no").inc()
    return answer
