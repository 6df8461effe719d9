"""Every broken file is a radiograph or a coded error, in seconds and 1 GiB; `python -m tests.benchmarks.fuzzing` tries
a hundred thousand."""

import contextlib

import pytest

from samx.errors import RadiographError
from samx.radiograph import read_radiograph
from tests.samx.files import real_folder
from tests.samx.reading.fuzz_process import read_all
from tests.samx.reading.fuzzing import broken_file, corpus


def test_inputs_are_the_same_every_time() -> None:
    assert [broken_file(number, None) for number in range(50)] == [broken_file(number, None) for number in range(50)]
    assert len({broken_file(number, None) for number in range(50)}) == 50
    assert len(corpus(None)) > 40


@pytest.mark.slow
def test_broken_files_are_read_or_refused() -> None:
    real = real_folder()
    report = read_all(range(3000), real)
    assert report.failures == []
    assert sum(report.outcomes.values()) == 3000
    assert report.outcomes["radiograph"] > 500
    assert len(report.outcomes) > 8, "mutations reach many of the checks"


def test_nothing_is_said_about_broken_files(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(500):
        with contextlib.suppress(RadiographError):
            read_radiograph(broken_file(number, None), working_size=224)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
