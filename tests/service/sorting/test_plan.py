"""The plan: closed forms where nothing is left to chance, and the right direction where something is."""

from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest

from service.__main__ import main
from service.sorting.plan import Prices, Worker, cost, simulate
from service.sorting.request_counts import Work

WORK = Work(num_objects=100_000, shard_size=500, mean_object_bytes=5e6)
CALM = Worker(objects_per_second=10, start_seconds=5, node_spread=0, shard_spread=0)


def test_without_chance_the_time_is_the_closed_form() -> None:
    outcome = simulate(WORK, CALM, num_workers=8, num_indexes=8, seed=1)
    listing, merging = 100_000 / CALM.listed_per_second, CALM.start_seconds + 100_000 / CALM.merged_per_second
    assert outcome.seconds == pytest.approx(listing + 5 + 100_000 / 8 / 10 + merging)
    assert outcome.worker_seconds == pytest.approx(listing + 8 * 5 + 100_000 / 10 + merging)
    assert (outcome.num_starts, outcome.num_lost_objects) == (8, 0)
    assert outcome.gigabytes_read == pytest.approx(500)


def test_twice_the_workers_take_half_the_time_of_sorting() -> None:
    worker = replace(CALM, start_seconds=0, listed_per_second=1e9, merged_per_second=1e9)
    seconds = [simulate(WORK, worker, num_workers=n, num_indexes=40, seed=1).seconds for n in (10, 20)]
    assert seconds[0] / seconds[1] == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("change", ["preemptions_per_hour", "node_spread"])
def test_trouble_never_makes_it_faster(change: str) -> None:
    def seconds(trouble: float) -> float:
        worker = replace(CALM, **{change: trouble})
        return mean(simulate(WORK, worker, num_workers=8, num_indexes=32, seed=seed).seconds for seed in range(20))

    found = [seconds(trouble) for trouble in (0.0, 0.3, 1.0)]
    assert found == sorted(found)
    assert found[2] > 1.03 * found[0]


def test_smaller_shards_lose_less_to_preemption() -> None:
    def lost(shard_size: int) -> float:
        work, worker = replace(WORK, shard_size=shard_size), replace(CALM, preemptions_per_hour=3)
        return mean(
            simulate(work, worker, num_workers=8, num_indexes=32, seed=seed).num_lost_objects for seed in range(10)
        )

    assert 0 < lost(100) < lost(1000)


def test_the_same_seed_gives_the_same_plan() -> None:
    worker = replace(CALM, preemptions_per_hour=1, node_spread=0.3)
    first, second, other = (simulate(WORK, worker, num_workers=8, num_indexes=32, seed=seed) for seed in (1, 1, 2))
    assert first == second
    assert first.seconds != other.seconds


def test_money_adds_up() -> None:
    outcome = simulate(WORK, CALM, num_workers=8, num_indexes=8, seed=1)
    prices = Prices(worker_hour=2, read_million=0.5, write_million=7, gigabyte_read=0.25)
    money = cost(outcome, prices)
    requests = outcome.requests
    assert money["workers"] == pytest.approx(outcome.worker_seconds / 3600 * 2)
    assert money["transfer"] == pytest.approx(125)
    written = requests["list"] + requests["put"] + requests["copy"] + requests["tag"]
    assert money["requests"] == pytest.approx(((requests["get"] + requests["head"]) * 0.5 + written * 7) / 1e6)
    assert cost(outcome, Prices(worker_hour=0, read_million=0, write_million=0)) == {
        "workers": 0, "requests": 0, "transfer": 0
    }  # fmt: skip


def test_the_command_prints_a_row_per_size_and_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('currency = "XYZ"\nworker_hour = 0.5\n')
    arguments = ["plan", "--rate", "20", "--objects", "50000", "--shard-sizes", "100", "500", "--workers", "2", "4"]
    assert main([*arguments, "--prices", str(prices)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 4
    assert "XYZ" in lines[1]


@pytest.mark.parametrize(
    "wrong", [["--rate", "0"], ["--rate", "1", "--objects", "-1"], ["--rate", "1", "--prices", "/nowhere"]]
)
def test_figures_that_make_no_sense_are_refused(wrong: list[str]) -> None:
    assert main(["plan", *wrong]) == 2
