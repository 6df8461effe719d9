"""What a load test must hold, judged from its requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from loadtest.settings import KINDS, LoadSettings

Outcome = Literal["good", "refused", "failed"]
"""good: answered as documented for what was sent; refused: 429 or 503; failed: anything else."""

JUDGED = ("steady", "recovery")


@dataclass(frozen=True)
class Record:
    """One request that ended."""

    at: float
    """When it ended, in seconds from the beginning."""
    kind: str
    seconds: float
    """From sending it to its whole answer."""
    outcome: Outcome


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values do not exceed."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def breaches(records: Sequence[Record], settings: LoadSettings) -> list[str]:
    """What was not held, a sentence each; a kind or stage without any request is a breach too."""
    found = []
    failed = [record for record in records if record.outcome == "failed"]
    if len(failed) > settings.max_failures:
        kinds = ", ".join(sorted({record.kind for record in failed}))
        found.append(f"{len(failed)} requests failed ({kinds}), {settings.max_failures} may")
    judged = [record for record in records if settings.stage(record.at) in JUDGED]
    for kind in KINDS:
        found += _too_slow(kind, [one.seconds for one in judged if (one.kind, one.outcome) == (kind, "good")], settings)
    refused = sum(record.outcome == "refused" for record in judged) / max(1, len(judged))
    if refused > settings.max_refused_share:
        found.append(f"{refused:.1%} were refused outside of the spike, {settings.max_refused_share:.1%} may be")
    steady, recovery = (goodput(records, stage, settings) for stage in JUDGED)
    if steady == 0 or recovery < settings.min_recovery * steady:
        found.append(
            f"{recovery:.2f} good answers/s in recovery where steady state had {steady:.2f}; "
            f"{settings.min_recovery:.0%} of that are asked for"
        )
    return found


def _too_slow(kind: str, seconds: list[float], settings: LoadSettings) -> list[str]:
    if not seconds:
        return [f"{kind}: no good answer outside of the spike"]
    limits = {0.95: settings.p95_seconds, 0.99: settings.p99_seconds}
    return [
        f"{kind}: p{share * 100:.0f} is {quantile(seconds, share):.2f} s, {limit[kind]:g} s may be"
        for share, limit in limits.items()
        if kind in limit and quantile(seconds, share) > limit[kind]
    ]


def goodput(records: Sequence[Record], stage: str, settings: LoadSettings) -> float:
    """Good answers per second of a stage, in recovery after it has settled."""
    duration = {
        "steady": settings.steady_seconds,
        "recovery": settings.recovery_seconds - settings.settle_seconds,
    }[stage]
    return sum(one.outcome == "good" and settings.stage(one.at) == stage for one in records) / duration


def table(records: Sequence[Record], settings: LoadSettings) -> str:
    """Counts by stage, and latencies by kind, for people."""
    lines = [f"{'stage':<12}{'good':>8}{'refused':>9}{'failed':>8}"]
    for stage in ("ramp", "steady", "spike", "settling", "recovery", ""):
        outcomes = [record.outcome for record in records if settings.stage(record.at) == stage]
        counts = (outcomes.count("good"), outcomes.count("refused"), outcomes.count("failed"))
        lines.append(f"{stage or 'after':<12}{counts[0]:>8}{counts[1]:>9}{counts[2]:>8}")
    lines.append(f"{'kind':<12}{'good':>8}{'p50 ms':>9}{'p95 ms':>8}{'p99 ms':>8}   outside of the spike")
    for kind in KINDS:
        judged = [one for one in records if one.kind == kind and settings.stage(one.at) in JUDGED]
        if seconds := [one.seconds for one in judged if one.outcome == "good"]:
            p50, p95, p99 = (1000 * quantile(seconds, share) for share in (0.5, 0.95, 0.99))
            lines.append(f"{kind:<12}{len(seconds):>8}{p50:>9.0f}{p95:>8.0f}{p99:>8.0f}")
    return "\n".join(lines)
