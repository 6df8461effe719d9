"""Fixtures for all tests: a real S3 server (tests/s3_server.py) and a small artifact made from random weights."""

from pathlib import Path

import pytest
import torch

from tests.samx.files import real_folder
from tests.small_artifact import write_small_artifact

pytest_plugins = ["tests.s3_server"]

torch.set_num_threads(1)  # small tensors: more threads only wait for each other


@pytest.fixture(scope="session")
def real_radiographs() -> Path:
    """The folder of real radiographs; its tests are skipped, by name, where it is absent."""
    folder = real_folder()
    if folder is None:
        pytest.skip("real radiographs are not at ../shared/radiographs (set SAMX_RADIOGRAPHS)")
    return folder


@pytest.fixture(scope="session")
def small_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model with one published version; never write into it."""
    return write_small_artifact(tmp_path_factory.mktemp("models"))
