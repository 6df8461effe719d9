"""Thresholds of the load test, each seen held and seen broken."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.settings import KINDS, LoadSettings
from loadtest.thresholds import Record, breaches, goodput, quantile, table

SETTINGS = LoadSettings(ramp_seconds=10, steady_seconds=20, spike_seconds=10, recovery_seconds=25, settle_seconds=5)


def good_run() -> list[Record]:
    """Ten good answers of each kind a second, all through."""
    return [Record(tenth / 10, kind, 0.1, "good") for tenth in range(650) for kind in KINDS]


def slowed(kind: str, share: float, seconds: float) -> list[Record]:
    """Every so many answers of a kind are slow."""
    every = round(1 / share)
    return [
        replace(one, seconds=seconds) if one.kind == kind and round(one.at * 10) % every == 0 else one
        for one in good_run()
    ]


def test_a_good_run_breaks_nothing() -> None:
    assert breaches(good_run(), SETTINGS) == []


def test_stages_follow_each_other() -> None:
    moments = (0, 9.9, 10, 29.9, 30, 39.9, 40, 44.9, 45, 64.9, 65)
    expected = ["ramp"] * 2 + ["steady"] * 2 + ["spike"] * 2 + ["settling"] * 2 + ["recovery"] * 2 + [""]
    assert [SETTINGS.stage(moment) for moment in moments] == expected
    assert [SETTINGS.num_users(moment) for moment in (0, 5, 15, 35, 50, 65)] == [1, 6, 12, 96, 12, None]


@pytest.mark.parametrize("kind", KINDS)
def test_slow_answers_break_the_percentile_they_reach(kind: str) -> None:
    assert breaches(slowed(kind, 0.02, 20.0), SETTINGS) == [
        f"{kind}: p99 is 20.00 s, {SETTINGS.p99_seconds[kind]:g} s may be"
    ]
    found = breaches(slowed(kind, 0.1, 20.0), SETTINGS)
    assert [line.split()[1] for line in found] == ["p95", "p99"]


def test_slow_answers_in_the_spike_are_allowed() -> None:
    run = [replace(one, seconds=20.0) if SETTINGS.stage(one.at) == "spike" else one for one in good_run()]
    assert breaches(run, SETTINGS) == []


def test_one_failure_breaks_in_any_stage() -> None:
    for moment in (1.0, 15.0, 35.0, 42.0, 50.0):
        found = breaches([*good_run(), Record(moment, "batch", 0.1, "failed")], SETTINGS)
        assert found == ["1 requests failed (batch), 0 may"]


def test_refusals_are_for_the_spike() -> None:
    spike = [Record(35.0, "classify", 0.01, "refused")] * 500
    assert breaches([*good_run(), *spike], SETTINGS) == []
    (found,) = breaches([*good_run(), *(replace(one, at=50.0) for one in spike)], SETTINGS)
    assert "17.2% were refused outside of the spike" in found


def test_a_service_that_does_not_come_back_is_noticed() -> None:
    run = [one for one in good_run() if SETTINGS.stage(one.at) != "recovery" or round(one.at * 10) % 5]
    (found,) = breaches(run, SETTINGS)
    assert found.startswith("48.00 good answers/s in recovery where steady state had 60.00")


def test_a_kind_that_was_never_asked_is_noticed() -> None:
    run = [one for one in good_run() if one.kind != "overlay"]
    assert breaches(run, SETTINGS) == ["overlay: no good answer outside of the spike"]


def test_nothing_at_all_breaks_everything() -> None:
    assert len(breaches([], SETTINGS)) == len(KINDS) + 1


def test_figures_are_what_they_say() -> None:
    assert quantile(range(1, 101), 0.95) == 95
    assert quantile([7.0], 0.99) == 7.0
    assert goodput(good_run(), "steady", SETTINGS) == pytest.approx(60.0)
    assert "classify" in table(good_run(), SETTINGS)


def test_settings_are_read_from_the_environment() -> None:
    given = {
        "SAMX_LOAD_FILES": "/somewhere",
        "SAMX_LOAD_USERS": "3",
        "SAMX_LOAD_STEADY_SECONDS": "1.5",
        "SAMX_LOAD_P95_SECONDS": "classify=0.5 batch=9",
        "SAMX_LOAD_API_KEY": "",
    }
    settings = LoadSettings.from_environment(given)
    assert (settings.files, settings.users, settings.steady_seconds) == (Path("/somewhere"), 3, 1.5)
    assert settings.p95_seconds == {"classify": 0.5, "batch": 9.0}
    assert settings.spike_users == LoadSettings().spike_users
    with pytest.raises(ValueError, match="SAMX_LOAD_USERS"):
        LoadSettings.from_environment({"SAMX_LOAD_USERS": "many"})
    with pytest.raises(ValueError, match="SAMX_LOAD_P99_SECONDS: clasify"):
        LoadSettings.from_environment({"SAMX_LOAD_P99_SECONDS": "clasify=1"})
