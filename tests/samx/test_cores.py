"""Cores inside a container."""

import os
from pathlib import Path

import pytest

from samx.cores import available_cores


@pytest.mark.parametrize(
    ("content", "most"),
    [
        pytest.param("100000 100000", 1, id="one core"),
        pytest.param("50000 100000", 1, id="half a core"),
        pytest.param("max 100000", os.cpu_count(), id="no limit"),
        pytest.param("nonsense", os.cpu_count(), id="not understood"),
        pytest.param(None, os.cpu_count(), id="no container"),
    ],
)
def test_processes_are_no_more_than_the_container_may_use(content: str | None, most: int, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "cpu.max").write_text(content)
    assert 1 <= available_cores(tmp_path / "cpu.max") <= most
