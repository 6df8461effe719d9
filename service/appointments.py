"""When a refused client may come back: each gets the next free time, so that they come as fast as they can be served.

A fixed Retry-After brings a crowd back all at once, and refusing it again takes the time in which it could be served.
"""

import math
import time
from collections.abc import Callable

LONGEST_SECONDS = 60.0
REMEMBERED_SECONDS = 10.0
"""How quickly the rate forgets."""
EAGERNESS = 1.1
"""More than can be served are asked back, because not all of them come."""


class Appointments:
    """Times to come back.

    Args:
        shortest_seconds: nobody is asked back earlier.
        first_rate: radiographs per second, until it is known how many can be served.
        clock: seconds that only grow.
    """

    def __init__(
        self, shortest_seconds: float, *, first_rate: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shortest = shortest_seconds
        self._clock = clock
        self._served, self._since = first_rate * REMEMBERED_SECONDS, clock()
        self._last = 0.0

    def count_served(self) -> None:
        """One more has been served."""
        self._forget()
        self._served += 1.0

    def next_seconds(self) -> int:
        """Seconds until the next free time, which is taken by asking."""
        self._forget()
        now, rate = self._clock(), max(self._served / REMEMBERED_SECONDS, 0.1)
        self._last = max(now + self._shortest, self._last + 1 / (EAGERNESS * rate))
        self._last = min(self._last, now + max(LONGEST_SECONDS, self._shortest))
        return math.ceil(self._last - now)

    def _forget(self) -> None:
        now = self._clock()
        self._served *= math.exp((self._since - now) / REMEMBERED_SECONDS)
        self._since = now
