"""Who may ask: API keys, compared in constant time, and admin keys for what changes the service.

A key comes as `Authorization: Bearer KEY` or as `X-API-Key: KEY`. Where no key is set, everybody may ask, but nobody
may change anything.
"""

import hashlib
import hmac
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pydantic
from starlette.requests import Request

from service.problems import ProblemError
from service.settings import Settings

CHECK_SECONDS = 1.0
"""How often the file of keys is looked at, at most."""
MIN_KEY_LENGTH = 16

logger = logging.getLogger("samx.service")


class Access:
    """The keys of a service."""

    def __init__(self, settings: Settings) -> None:
        self._fixed = _digests(settings.api_keys)
        self._admin = _digests(settings.admin_keys)
        self._file = Path(settings.api_keys_file) if settings.api_keys_file else None
        self._of_file: list[bytes] = []
        self._version: tuple[int, int, int] | None = None
        self._next_check = 0.0

    def require_key(self, request: Request) -> None:
        """Let a client pass.

        Raises:
            ProblemError: 401, keys are set and the request has none of them.
        """
        keys = [*self._fixed, *self._keys_of_file()]
        if (keys or self._file is not None) and not _is_among(_given(request), [*keys, *self._admin]):
            raise _unauthorized("This service asks for a key: send it as Authorization: Bearer KEY or X-API-Key: KEY.")

    def require_admin_key(self, request: Request) -> None:
        """Let an administrator pass.

        Raises:
            ProblemError: 403, no admin key is set; 401, the request has none of them.
        """
        if not self._admin:
            raise ProblemError(403, "no_admin_key", "Nobody may do this: the service has no SAMX_ADMIN_KEYS.")
        if not _is_among(_given(request), self._admin):
            raise _unauthorized("This asks for an admin key: send it as Authorization: Bearer KEY or X-API-Key: KEY.")

    def _keys_of_file(self) -> list[bytes]:
        """The file's keys; the last ones that could be read while it is missing, and none before that."""
        if self._file is None or time.monotonic() < self._next_check:
            return self._of_file
        self._next_check = time.monotonic() + CHECK_SECONDS
        try:
            status = self._file.stat()
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
            if version != self._version:
                lines = [line.strip() for line in self._file.read_text().splitlines()]
                keys = [line for line in lines if line and not line.startswith("#")]
                self._of_file = [_digest(key) for key in keys if len(key) >= MIN_KEY_LENGTH]
                self._version = version
                logger.info("%d API keys read, %d too short", len(self._of_file), len(keys) - len(self._of_file))
        except (OSError, UnicodeDecodeError):
            logger.error("The file of API keys cannot be read; the keys that were read last stay in force")
        return self._of_file


async def require_key(request: Request) -> None:
    """What a route depends on whose clients need a key; `app.state.access` has the keys."""
    cast("Access", request.app.state.access).require_key(request)


async def require_admin_key(request: Request) -> None:
    """What a route depends on that changes the service."""
    cast("Access", request.app.state.access).require_admin_key(request)


def _given(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")


def _is_among(key: str, digests: Iterable[bytes]) -> bool:
    """Compared with every one of them, however early one fits."""
    digest, found = _digest(key), False
    for known in digests:
        found |= hmac.compare_digest(digest, known)
    return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _digests(keys: Iterable[pydantic.SecretStr]) -> list[bytes]:
    return [_digest(key.get_secret_value()) for key in keys]


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})
