"""The BentoML service: configuration, lifecycle, health and metrics around the routes. The only user of bentoml.

`bentoml serve service.api:SamX`, with SAMX_ARTIFACT in the environment, serves it; see settings.py.
"""

import asyncio
import logging
import sys
import warnings

import bentoml
from starlette.types import ASGIApp

from service.border import Border
from service.inference import Inference, require_artifact
from service.routes import create_app, served_paths
from service.settings import Settings
from service.sort_routes import Sorting

app = create_app()


def _set_up_log() -> None:
    """One line per entry, without BentoML's trace identifiers; libraries that quote what they read are silenced."""
    warnings.simplefilter("ignore")  # decoders warn with the values of attributes, which may be a patient's
    logging.getLogger("bentoml").setLevel(logging.WARNING)
    for name in ("pydicom", "python_multipart"):
        logging.getLogger(name).disabled = True
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    logger = logging.getLogger("samx")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


class _BorderedService(bentoml.Service):  # type: ignore[misc]  # bentoml ships no types that mypy can follow
    """A BentoML service with the border around all of BentoML's middleware, which sees paths first otherwise."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        return Border(super().to_asgi(is_main), served_paths(app))


@bentoml.service(
    name="samx",
    service_class=_BorderedService,
    workers=1,  # one per container: a second one would hold the model twice, and BentoML divides load unevenly
    # A backstop that also ends what hangs; the body has its own, shorter limit.
    traffic={"timeout": 120},
    # The border logs instead: BentoML's access log repeats raw paths, and fails on a Content-Type that is not UTF-8.
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(app, path="/")
class SamX:
    """Which anatomical entity a musculoskeletal radiograph shows."""

    def __init__(self) -> None:
        _set_up_log()
        settings = Settings.from_environment()
        self.inference = app.state.inference = Inference(settings)
        self.sorting = app.state.sorting = Sorting(settings)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check() -> None:
        """Runs once, before the worker is started: a missing artifact ends `bentoml serve` with its message."""
        require_artifact(Settings.from_environment().artifact)

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def load(self) -> None:
        """Load in the background: /livez answers meanwhile, /readyz says not yet."""
        self._loading = asyncio.create_task(self.inference.load())
        if self.sorting.runner is not None:
            self.sorting.runner.start()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def leave_jobs(self) -> None:
        """Interrupt what is being sorted; another replica, or this one when it is back, goes on."""
        if self.sorting.runner is not None:
            await asyncio.to_thread(self.sorting.runner.stop)

    async def __is_alive__(self) -> bool:
        return self.inference.state != "failed"

    async def __is_ready__(self) -> bool:
        return self.inference.state == "ready"
