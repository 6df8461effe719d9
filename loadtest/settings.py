"""What a load test does, from SAMX_LOAD_* environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Self

PREFIX = "SAMX_LOAD_"
KINDS = ("classify", "grad_cam", "overlay", "batch", "sort_status", "bad_file")
"""Kinds of requests; each has limits of its own."""


def _by_kind(text: str) -> dict[str, float]:
    limits = {kind: float(value) for kind, _, value in (entry.partition("=") for entry in text.split())}
    if unknown := limits.keys() - set(KINDS):
        raise ValueError(f"{', '.join(sorted(unknown))}: the kinds are {', '.join(KINDS)}")
    return limits


@dataclass(frozen=True)
class LoadSettings:
    """SAMX_LOAD_USERS and so on; every field is a variable."""

    files: Path = Path(".demo/load")
    """Folder with the radiographs that are sent, *.dcm at any depth."""
    api_key: str = ""
    """Where the service asks for one."""
    users: int = 12
    """At the same time in steady state and in recovery."""
    spike_users: int = 96
    """At the same time in the spike."""
    ramp_seconds: float = 15.0
    steady_seconds: float = 60.0
    spike_seconds: float = 20.0
    recovery_seconds: float = 45.0
    settle_seconds: float = 5.0
    """After the spike, before recovery is judged."""
    think_seconds: float = 1.0
    """Mean time between an answer and the same user's next request."""
    batch_files: int = 6
    """Radiographs in one batch."""
    p95_seconds: dict[str, float] = field(
        default_factory=lambda: _by_kind("classify=1 grad_cam=1 overlay=1 batch=5 sort_status=1 bad_file=1")
    )
    """Most for 95 % of the answers of a kind outside of the spike: "classify=1 batch=5"."""
    p99_seconds: dict[str, float] = field(
        default_factory=lambda: _by_kind("classify=2 grad_cam=2 overlay=2 batch=8 sort_status=2 bad_file=2")
    )
    """The same for 99 %."""
    max_failures: int = 0
    """Answers that are neither what is documented for the request nor 429 or 503, at most."""
    max_refused_share: float = 0.01
    """Of requests in steady state and recovery, answered 429 or 503."""
    min_recovery: float = 0.9
    """Good answers per second in recovery, as a share of those in steady state."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; what is not set, or empty, has its default.

        Raises:
            ValueError: a value is not allowed; the message names the variable.
        """
        given = {}
        for one in fields(cls):
            name, default = PREFIX + one.name.upper(), getattr(cls(), one.name)
            if text := environment.get(name):
                try:
                    given[one.name] = (
                        _by_kind(text)
                        if isinstance(default, dict)
                        else Path(text)
                        if isinstance(default, Path)
                        else type(default)(text)
                    )
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
        return cls(**given)

    @property
    def stages(self) -> tuple[tuple[str, float, int], ...]:
        """Name, end in seconds from the beginning, and users of every stage; ramp's users are its last."""
        durations = (self.ramp_seconds, self.steady_seconds, self.spike_seconds, self.recovery_seconds)
        users = (self.users, self.users, self.spike_users, self.users)
        ends = [sum(durations[: index + 1]) for index in range(4)]
        return tuple(zip(("ramp", "steady", "spike", "recovery"), ends, users, strict=True))

    def stage(self, seconds: float) -> str:
        """The stage at a time from the beginning; "settling" after the spike, and "" after the end."""
        begin = 0.0
        for name, end, _ in self.stages:
            if seconds < end:
                return "settling" if name == "recovery" and seconds < begin + self.settle_seconds else name
            begin = end
        return ""

    def num_users(self, seconds: float) -> int | None:
        """How many users there should be; None after the end."""
        for name, end, users in self.stages:
            if seconds < end:
                return max(1, round(users * seconds / end)) if name == "ramp" else users
        return None
