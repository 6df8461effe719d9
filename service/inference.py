"""The model behind a bounded queue: loading it, who may come in, and worker threads to answer in.

Imports no torch: BentoML's supervising process imports this too, and has no use for 200 MB of it.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.to_thread

from samx.errors import ArtifactError, SamxError
from samx.storage import open_storage
from service.problems import ProblemError, traceback_without_values
from service.settings import Settings
from service.upload import Upload

if TYPE_CHECKING:
    from service.model import Model

logger = logging.getLogger("samx.service")


class Inference:
    """One model and the requests that are in work or waiting for it. Used from one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state: Literal["loading", "ready", "failed"] = "loading"
        self._model: Model | None = None
        self._num_admitted = 0
        self._threads = anyio.CapacityLimiter(settings.threads)

    async def load(self) -> None:
        """Load, self-test and warm up the model; afterwards the state is `ready`, or `failed` and logged why."""
        try:
            self._model = await anyio.to_thread.run_sync(_load_model, self.settings)
            async with anyio.create_task_group() as group:  # every worker thread has its own caches to fill
                for _ in range(self.settings.threads):
                    group.start_soon(self._in_thread, self._model.warm_up)
        except SamxError as error:
            self.state = "failed"
            logger.critical("The model cannot be served: %s", error)
        except Exception as error:  # the border of a background task: nobody else would hear of it
            self.state = "failed"
            logger.critical("The model cannot be served: %s", traceback_without_values(error))
        else:
            self.state = "ready"
            logger.info("Serving %s; %s", self._model.title, self.settings)

    @property
    def model(self) -> "Model":
        """The loaded model.

        Raises:
            ProblemError: 503, it is not ready.
        """
        if self._model is None or self.state != "ready":
            raise ProblemError(
                503,
                "model_not_ready",
                "The model is being loaded." if self.state == "loading" else "The model could not be loaded.",
                {"Retry-After": str(self.settings.retry_after_seconds)},
            )
        return self._model

    @contextlib.contextmanager
    def admitted(self) -> "Iterator[Model]":
        """Hold one of the limited places, from before the body is read until the answer is made.

        Raises:
            ProblemError: 503, all places are taken or the model is not ready.
        """
        model = self.model
        num_places = self.settings.threads + self.settings.max_waiting
        if self._num_admitted >= num_places:
            raise ProblemError(
                503,
                "busy",
                f"{num_places} radiographs are in work or waiting, which is the most that is taken. Try again later.",
                {"Retry-After": str(self.settings.retry_after_seconds)},
            )
        self._num_admitted += 1
        try:
            yield model
        finally:
            self._num_admitted -= 1

    async def answer(self, model: "Model", upload: Upload) -> bytes:
        """Read and classify in a worker thread; the JSON of a `schemas.Classification`.

        Raises:
            ProblemError: the file cannot be used, or a parameter does not fit the model.
        """
        return await anyio.to_thread.run_sync(model.answer, upload, limiter=self._threads)

    async def _in_thread(self, function: Callable[[], None]) -> None:
        await anyio.to_thread.run_sync(function, limiter=self._threads)


def require_artifact(url: str) -> None:
    """Find out early and cheaply whether there is an artifact at all.

    Raises:
        ArtifactError: neither a version nor a model with a current version is there.
        StorageError: the place cannot be reached.
    """
    location = open_storage(url)
    if not any(location.exists(key) for key in ("manifest.json", "current.json")):
        raise ArtifactError(
            f"no artifact in {location.url}: expected manifest.json (one version of a model) or current.json (a model "
            "with versions). Name one by SAMX_ARTIFACT or --artifact, a folder or s3://bucket/prefix that training "
            "published to"
        )


def _load_model(settings: Settings) -> "Model":
    from service.model import load_model  # noqa: PLC0415  # torch is imported where it is used: see above

    return load_model(settings)
