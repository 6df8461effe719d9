"""When a request is sent again, and how long to wait before that; decided without sending or sleeping itself."""

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

BUSY = (429, 503)
"""The service asks to come back later. No other answer is worth a second attempt."""
LOST = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
"""The connection failed. Everything may be asked twice: the answer is the same, that of `sort` the same job."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How patient a client is.

    Args:
        attempts: requests that are sent at most, 1 for no retries.
        deadline_seconds: no attempt begins later than this after the first.
        first_delay_seconds: longest wait before the second attempt; doubled before each further one.
        most_delay_seconds: longest wait where the service names none.

    Example:
        ```python
        Client("http://127.0.0.1:3000", retry=Retry(attempts=10, deadline_seconds=600))
        ```
    """

    attempts: int = 5
    deadline_seconds: float = 120.0
    first_delay_seconds: float = 0.5
    most_delay_seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.deadline_seconds, self.first_delay_seconds, self.most_delay_seconds) < 0:
            raise ValueError(f"attempts has to be at least 1, and no time negative: {self}")


class Attempts:
    """The attempts of one request."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._num_made = 0
        self._began = time.monotonic()

    def pause_after_answer(self, response: httpx.Response) -> float | None:
        """Seconds until the next attempt; None where this answer is the last one."""
        if response.status_code not in BUSY:
            return None
        return self._pause(retry_after_seconds(response.headers.get("retry-after", "")))

    def pause_after_error(self, error: httpx.TransportError) -> float | None:
        """Seconds until the next attempt; None where there is none."""
        return self._pause(None) if isinstance(error, LOST) else None

    def _pause(self, asked_seconds: float | None) -> float | None:
        """What the service asks for and up to a back-off more, so that clients do not come back all at once."""
        self._num_made += 1
        doubled = self._retry.first_delay_seconds * 2 ** min(self._num_made - 1, 30)
        pause = (asked_seconds or 0.0) + random.uniform(0, min(doubled, self._retry.most_delay_seconds))  # noqa: S311
        too_late = time.monotonic() - self._began + pause > self._retry.deadline_seconds
        return None if self._num_made >= self._retry.attempts or too_late else pause


def retry_after_seconds(value: str) -> float | None:
    """Seconds that a Retry-After header asks for, a number or a date (RFC 9110, section 10.2.3), or None."""
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
