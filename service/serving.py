"""Which model is served: loading it, warming it up, and replacing it while requests are answered.

Imports no torch: BentoML's supervising process imports this too, and has no use for 200 MB of it.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from samx.artifact import resolve
from samx.cores import available_cores
from samx.errors import ArtifactError, SamxError
from samx.storage import open_storage
from service import metrics
from service.batching import SIZES, Batcher, BatchReport
from service.problems import ProblemError, traceback_without_values
from service.settings import Settings
from service.threads import Watched, compute_in_peace

if TYPE_CHECKING:
    from samx.classifier import Prediction
    from service.model import Model, Question

logger = logging.getLogger("samx.service")


@dataclass(frozen=True, slots=True)
class Served:
    """One version of a model and its queue: a request that began with it ends with it."""

    model: "Model"
    batcher: "Batcher[Question, Prediction]"


class Serving:
    """The version that is served now.

    Args:
        settings: of the service.
        watched: sees the batches.
    """

    def __init__(self, settings: Settings, watched: Watched) -> None:
        self.state: Literal["loading", "ready", "failed"] = "loading"
        self._settings, self._watched = settings, watched
        self._served: Served | None = None
        self._network: ThreadPoolExecutor | None = None
        self._reloading = asyncio.Lock()

    async def load(self) -> None:
        """Load, self-test and warm up the model; afterwards the state is `ready`, or `failed` and logged why."""
        try:
            await self.reload()
        except SamxError as error:
            self.state = "failed"
            logger.critical("The model cannot be served: %s", error)
        except Exception as error:  # the border of a background task: nobody else would hear of it
            self.state = "failed"
            logger.critical("The model cannot be served: %s", traceback_without_values(error))
        else:
            logger.info("Serving %s; %s", self._served.model.title if self._served else "", self._settings)

    async def reload(self) -> tuple[Served, bool]:
        """Serve the version that is current now; until it is loaded, tested and warm, the one before is.

        Returns:
            What is served, and whether it is another version than before.

        Raises:
            ArtifactError: there is none, or it cannot be served; what was served goes on being served.
            StorageError: the place cannot be reached; likewise.
        """
        async with self._reloading:
            url = await asyncio.to_thread(_current_url, self._settings)
            before = self._served
            if before is not None and before.model.url == url:
                return before, False
            model = await asyncio.to_thread(_load_model, self._settings.model_copy(update={"artifact": url}))
            self._served = await self._start(model)
            if before is not None:
                logger.info("Serving %s in place of %s", model.title, before.model.title)
            metrics.announce_model(model.name.name, model.name.version, model.description.metrics)
            self.state = "ready"
            return self._served, True

    async def watch(self) -> None:
        """Serve whatever version becomes current, for ever; what cannot be served is logged and left."""
        while True:
            await asyncio.sleep(self._settings.watch_seconds)
            try:
                await self.reload()
            except SamxError as error:
                logger.error("The current version cannot be served, the one before goes on: %s", error)
            except Exception as error:  # the border of a background task, as above
                logger.error("The current version cannot be served: %s", traceback_without_values(error))

    async def _start(self, model: "Model") -> Served:
        # Where the network has one core a batch, several batches run at once; a GPU takes one after another.
        num_lanes = 1 if model.on_gpu else max(1, available_cores() // self._settings.engine_threads)
        if self._network is None:
            self._network = ThreadPoolExecutor(
                num_lanes, thread_name_prefix="samx-network", initializer=compute_in_peace
            )
        largest = self._settings.max_batch_size or model.largest_batch
        sizes = [size for size in SIZES if size <= largest]
        loop = asyncio.get_running_loop()
        await asyncio.gather(  # every thread has its own caches to fill
            *(loop.run_in_executor(self._network, model.warm_up, sizes) for _ in range(num_lanes))
        )
        batcher: Batcher[Question, Prediction] = Batcher(
            lambda questions: self._watched.call(model.classify, questions),
            self._network,
            num_lanes=num_lanes,
            largest=largest,
            report=_report_batch,
        )
        return Served(model, batcher)

    @property
    def served(self) -> Served:
        """What is served.

        Raises:
            ProblemError: 503, it is not ready.
        """
        if self._served is None:
            raise ProblemError(
                503,
                "model_not_ready",
                "The model could not be loaded." if self.state == "failed" else "The model is being loaded.",
                {"Retry-After": str(self._settings.retry_after_seconds)},
            )
        return self._served


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


def _current_url(settings: Settings) -> str:
    return resolve(open_storage(settings.artifact)).url


def _load_model(settings: Settings) -> "Model":
    from service.model import load_model  # noqa: PLC0415  # torch is imported where it is used: see above

    return load_model(settings)


def _report_batch(report: BatchReport) -> None:
    metrics.BATCH_SIZE.observe(report.num_items)
    for seconds, context in zip(report.queue_seconds, report.contexts, strict=True):
        context.run(metrics.observe_phase, "queue", seconds, ago=report.seconds)
        context.run(metrics.observe_phase, "network", report.seconds)
