"""A finished small run with the report that it left."""

from pathlib import Path

import pytest

from samx.preprocessing import PreprocessingConfig
from tests.training.small_run import small_config
from training.job import run_all
from training.run import Run


@pytest.fixture(scope="session")
def reported(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """At 64 pixels, so that heat maps have four positions and can be checked."""
    config = small_config(
        export, tmp_path_factory.mktemp("reported"), preprocessing=PreprocessingConfig(size=64, working_size=64)
    )
    assert run_all(config) == "published"
    return Run(config)
