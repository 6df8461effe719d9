"""Done-markers: nothing is done twice, and other inputs are named."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from samx.errors import Interrupted, WrongInput
from tests.training.small_run import small_config
from training.run import Run, Stage


def count(run: Run) -> None:
    number = int(run.read("count/number.txt")) if run.storage.exists("count/number.txt") else 0
    run.write("count/number.txt", str(number + 1).encode())


COUNT = Stage("count", count, sections=("seed",), reads=())


def make_run(folder: Path, **changes: object) -> Run:
    return Run(small_config(folder, folder, **changes))


def test_a_stage_runs_once(tmp_path: Path) -> None:
    for _ in range(3):
        make_run(tmp_path).execute(COUNT)
    assert make_run(tmp_path).read("count/number.txt") == b"1"


def test_other_inputs_are_an_error_that_says_what_differs(tmp_path: Path) -> None:
    make_run(tmp_path, seed=1).execute(COUNT)
    with pytest.raises(
        WrongInput, match=r"configuration\.seed was 1, is 2\. Use another run, or delete done/count\.json"
    ):
        make_run(tmp_path, seed=2).execute(COUNT)


def test_a_missing_earlier_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="double needs the stage count, which is not done"):
        make_run(tmp_path).execute(Stage("double", count, sections=(), reads=("count",)))


def test_changed_files_of_an_earlier_stage_are_noticed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    double = Stage("double", lambda run: run.write("double/x", b"2"), sections=(), reads=("count",))
    run.execute(COUNT)
    run.execute(double)
    run.storage.delete("done/count.json")
    make_run(tmp_path).execute(COUNT)  # counts on to 2
    with pytest.raises(WrongInput, match=r"stages\.count was"):
        make_run(tmp_path).execute(double)


def test_decisions_of_people_are_inputs(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    stage = Stage("read", lambda _run: None, sections=(), reads=(), decisions=("decided.csv",))
    run.storage.write("decided.csv", b"a")
    run.execute(stage)
    run.execute(stage)
    run.storage.write("decided.csv", b"b")
    with pytest.raises(WrongInput, match=r"decisions\.decided\.csv was"):
        run.execute(stage)


def test_a_failed_stage_leaves_no_marker(tmp_path: Path) -> None:
    def fail(_run: Run) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        make_run(tmp_path).execute(Stage("fail", fail, sections=(), reads=()))
    assert not make_run(tmp_path).is_done("fail")


def interrupted(_run: Run) -> None:
    raise Interrupted("stopped by a signal")


def test_what_an_interruption_left_is_not_continued_with_other_inputs(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        make_run(tmp_path, seed=1).execute(Stage("count", interrupted, sections=("seed",), reads=()))
    with pytest.raises(
        WrongInput, match=r"count was begun in .*: configuration\.seed was 1, is 2\. .*delete count/, begun/"
    ):
        make_run(tmp_path, seed=2).execute(COUNT)
    make_run(tmp_path, seed=1).execute(COUNT)
    assert not (tmp_path / "run/begun/count.json").exists()


def refuse(_run: Run) -> None:
    raise WrongInput("too many clusters")


def test_a_refusal_does_not_forget_what_an_interruption_left(tmp_path: Path) -> None:
    for fail, error in ((interrupted, Interrupted), (refuse, WrongInput)):
        with pytest.raises(error):
            make_run(tmp_path, seed=1).execute(Stage("count", fail, sections=("seed",), reads=()))
    with pytest.raises(WrongInput, match="count was begun in"):
        make_run(tmp_path, seed=2).execute(COUNT)


def test_what_was_wrong_may_be_changed(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="too many"):
        make_run(tmp_path, seed=1).execute(Stage("count", refuse, sections=("seed",), reads=()))
    make_run(tmp_path, seed=2).execute(COUNT)


def test_decisions_may_be_made_while_a_stage_is_interrupted(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(Interrupted):
        run.execute(Stage("read", interrupted, sections=(), reads=(), decisions=("decided.csv",)))
    run.storage.write("decided.csv", b"a")
    run.execute(Stage("read", lambda _run: None, sections=(), reads=(), decisions=("decided.csv",)))


def test_markers_hold_checksums_of_outputs(tmp_path: Path) -> None:
    make_run(tmp_path).execute(COUNT)
    marker = json.loads((tmp_path / "run/done/count.json").read_text())
    assert marker["outputs"] == {"count/number.txt": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"}


def test_a_signal_stops_at_the_next_safe_point_and_handlers_come_back(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    with run.stopping_on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            run.check_stop()
    assert signal.getsignal(signal.SIGTERM) is before


def test_generators_depend_on_seed_and_names_only(tmp_path: Path) -> None:
    def draw(seed: int, *names: object) -> float:
        return float(torch.rand(1, generator=make_run(tmp_path, seed=seed).generator(*names)))

    assert draw(1, "pretrain", 3) == draw(1, "pretrain", 3)
    assert len({draw(1, "pretrain", 3), draw(2, "pretrain", 3), draw(1, "pretrain", 4), draw(1, "cluster", 3)}) == 4
