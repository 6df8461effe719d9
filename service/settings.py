"""Settings of the service; the only place where it reads the environment.

What the model needs in order to be right (preprocessing, thresholds) is in the artifact, not here.
"""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic

from samx.cores import available_cores
from samx.errors import WrongInput
from samx.storage import open_storage

PREFIX = "SAMX_"
"""A setting is read from the environment variable of this prefix and its name in capitals: SAMX_ARTIFACT."""

Key = Annotated[pydantic.SecretStr, pydantic.Field(min_length=16, max_length=512)]
"""An API key; secret, so that it never stands in a log."""

BUNDLED_ARTIFACT = Path(__file__).resolve().parent.parent / "artifact"
"""Where a bento carries its artifact: beside the package."""


def _split(value: object) -> object:
    return value.split() if isinstance(value, str) else value


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


_Several = pydantic.BeforeValidator(_split)
_Place = Annotated[str, pydantic.AfterValidator(lambda url: open_storage(url).url if url else "")]


class Settings(pydantic.BaseModel):
    """Where the model is and how much the service takes on at a time."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    artifact: str = str(BUNDLED_ARTIFACT)
    """Folder or s3:// URL of one version of a model, or of a model whose current version is meant."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs; `auto` is `cuda` where torch finds a GPU, else `cpu`."""
    watch_seconds: float = pydantic.Field(default=0.0, ge=0)
    """How often to look whether another version has become current, and serve it; 0 looks only when asked to
    (POST /model/reload)."""

    threads: int = pydantic.Field(default_factory=lambda: min(available_cores(), 8), ge=1)
    """Radiographs read at the same time; the cores are divided among them."""
    max_batch_size: Annotated[Literal[1, 2, 4, 8, 16, 32] | None, pydantic.BeforeValidator(_number)] = None
    """Radiographs that go through the network together at most. By default 8, but 2 where ONNX Runtime computes it on
    CPUs: there a batch takes almost as long as its images one by one, and all of them wait for the last."""
    max_waiting: int = pydantic.Field(default=16, ge=0)
    """Requests that may wait beyond those in work; more are refused (503). Each holds its body in memory."""
    retry_after_seconds: int = pydantic.Field(default=2, ge=1)
    """After how long a refused client is asked to come back at least; the more are refused, the later."""

    max_body_bytes: int = pydantic.Field(default=64 * 1024 * 1024, ge=1024)
    """Largest file. A radiograph of 5000 x 6000 pixels in 16 bit, uncompressed, has 60 MB."""
    max_files: int = pydantic.Field(default=256, ge=1)
    """Files in one POST /classify_batch."""
    body_timeout_seconds: float = pydantic.Field(default=60.0, gt=0)
    """How long a body may take to arrive, or the next piece of a batch; a slower client is told so (408)."""
    request_timeout_seconds: float = pydantic.Field(default=30.0, gt=0)
    """How long the answer for a radiograph may take once it has arrived; 503 after that."""
    batch_timeout_seconds: float = pydantic.Field(default=600.0, gt=0)
    """How long a POST /classify_batch may take as a whole."""
    stuck_seconds: float = pydantic.Field(default=60.0, gt=0)
    """How long one piece of work may take in its thread before /livez says that the service hangs (503)."""
    drain_seconds: float = pydantic.Field(default=0.0, ge=0)
    """How long requests are still taken after SIGTERM while /readyz already says no, for load balancers to notice.
    What was taken is answered in any case."""

    jobs: _Place = ""
    """Folder or s3:// URL where `POST /sort` keeps its jobs, the same for all replicas; empty: nothing is sorted."""
    sort_within: Annotated[tuple[_Place, ...], _Several] = ()
    """URLs that sources and destinations must lie in, separated by spaces; empty: any bucket, no folder."""
    sort_jobs_at_once: int = pydantic.Field(default=1, ge=1)
    """Jobs that this replica works on at a time; more of them wait."""

    api_keys: Annotated[tuple[Key, ...], _Several] = ()
    """Keys that clients may use, separated by spaces; with none here and none in the file, everybody may ask."""
    api_keys_file: str = ""
    """A file with one key a line, read again when it changes: keys are rotated without a restart."""
    admin_keys: Annotated[tuple[Key, ...], _Several] = ()
    """Keys that may also change what is served (POST /model/reload), separated by spaces; with none, nobody may."""
    cors_origins: Annotated[tuple[str, ...], _Several] = ()
    """Origins, separated by spaces, whose pages may ask; none by default."""
    traces_url: Annotated[str, pydantic.Field(pattern=r"^(https?://\S+)?$")] = ""
    """Where an OpenTelemetry collector takes spans by OTLP/HTTP, like http://collector:4318/v1/traces; empty: none."""
    traces_share: float = pydantic.Field(default=1.0, ge=0, le=1)
    """Share of requests that are traced, where a request's traceparent does not say whether it is."""
    log_format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON object a line."""

    @property
    def engine_threads(self) -> int:
        """Threads that the network may use for one call, so that all together do not exceed the cores."""
        return max(1, available_cores() // self.threads)

    @classmethod
    def from_environment(cls) -> Self:
        """Read the settings from the environment; an empty value means the default.

        Raises:
            WrongInput: a value is not allowed; the message names every variable that must change.
        """
        given = {
            name: os.environ[PREFIX + name.upper()]
            for name in cls.model_fields
            if os.environ.get(PREFIX + name.upper())
        }
        try:
            return cls.model_validate(given)
        except pydantic.ValidationError as error:
            faults = [f"{PREFIX}{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors()]
            raise WrongInput("; ".join(faults)) from error


def server_environment(bentoml_home: str, **settings: object) -> dict[str, str]:
    """The environment for a server process: this one's, these settings, and BentoML's usage reports off.

    Args:
        bentoml_home: folder for BentoML's files (metrics of the running server), unless BENTOML_HOME is set already.
        settings: fields of `Settings` that differ from the environment.
    """
    given = {PREFIX + name.upper(): str(value) for name, value in settings.items()}
    home = os.environ.get("BENTOML_HOME") or bentoml_home
    return {**os.environ, **given, "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": home}
