"""The BentoML service: lifecycle and health around the routes. The only user of bentoml.

`bentoml serve service.api:SamX`, with SAMX_ARTIFACT in the environment, serves it; see settings.py.
"""

import asyncio

import bentoml
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from service.access import Access
from service.border import Border
from service.draining import drain_on_sigterm, stop_with_supervisor
from service.inference import Inference
from service.log import set_up_log
from service.memory import give_back_memory, share_arenas
from service.routes import create_app, served_paths
from service.serving import require_artifact
from service.settings import Settings
from service.sort_routes import Sorting
from service.tracing import start_tracing, stop_tracing

app = create_app()


class _BorderedService(bentoml.Service):  # type: ignore[misc]  # bentoml ships no types that mypy can follow
    """A BentoML service with the routes beside BentoML's own and the border around both."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        origins = Settings.from_environment().cors_origins
        return Border(
            _allowing(origins) if origins else app,
            served_paths(app),
            system=super().to_asgi(is_main),
            is_draining=lambda: bool(app.state.inference.draining),
        )


def _allowing(origins: tuple[str, ...]) -> ASGIApp:
    """The routes, answering pages of these origins too."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "X-API-Key", "X-Request-ID", "Content-Type"],
        expose_headers=["X-Request-ID", "Retry-After"],
    )


@bentoml.service(
    name="samx",
    service_class=_BorderedService,
    workers=1,  # one per container: a second one would hold the model twice, and BentoML divides load unevenly
    metrics={"enabled": False},  # the routes have their own
    logging={"access": {"enabled": False}},  # the border logs instead: BentoML's access log repeats raw paths
)
class SamX:
    """Which anatomical entity a musculoskeletal radiograph shows."""

    def __init__(self) -> None:
        share_arenas()
        settings = Settings.from_environment()
        set_up_log(settings.log_format)
        start_tracing(settings)
        self.inference = app.state.inference = Inference(settings)
        app.state.access = Access(settings)
        self.sorting = app.state.sorting = Sorting(settings)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check() -> None:
        """Runs once, before the worker is started: a missing artifact ends `bentoml serve` with its message."""
        require_artifact(Settings.from_environment().artifact)

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def load(self) -> None:
        """Load in the background: /livez answers meanwhile, /readyz says not yet."""
        beside = (self.inference.serving.load(), give_back_memory(), stop_with_supervisor())
        self._tasks = [asyncio.create_task(work) for work in beside]
        if self.inference.settings.watch_seconds:
            self._tasks.append(asyncio.create_task(self.inference.serving.watch()))
        if self.sorting.runner is not None:
            self.sorting.runner.start()
        drain_on_sigterm(self.inference.drain, self.inference.settings.drain_seconds)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def leave_jobs(self) -> None:
        """Interrupt what is being sorted; another replica, or this one when it is back, goes on."""
        if self.sorting.runner is not None:
            await asyncio.to_thread(self.sorting.runner.stop)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def deliver_spans(self) -> None:
        """Send what has been traced and not been sent yet."""
        await asyncio.to_thread(stop_tracing)

    async def __is_alive__(self) -> bool:
        return self.inference.is_alive

    async def __is_ready__(self) -> bool:
        return self.inference.is_ready
