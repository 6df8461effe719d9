"""Fixtures for all tests: a real S3 server (tests/s3_server.py) and a small artifact made from random weights."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from samx.torch_engine import TorchEngine, torch_classifier
from tests.samx.files import real_folder
from tests.small_artifact import small_spec, small_tensors, write_small_artifact

pytest_plugins = ["tests.s3_server"]

torch.set_num_threads(1)  # small tensors: more threads only wait for each other


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, then those with many: given out last, one would keep the others waiting."""
    num_tests = Counter(item.path for item in items)
    with_slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in with_slow, -num_tests[item.path]))


@pytest.fixture(scope="session")
def real_radiographs() -> Path:
    """The folder of real radiographs; its tests are skipped, by name, where it is absent."""
    folder = real_folder()
    if folder is None:
        pytest.skip("real radiographs are not at ../shared/radiographs (set SAMX_RADIOGRAPHS)")
    return folder


@pytest.fixture(scope="session")
def small_engines() -> dict[str, bytes]:
    """The small artifact's network compiled for CPUs, by precision; made once, as that takes seconds."""
    from training.compiled_engine import export, quantize  # 0.5 s that few tests need

    engine = torch_classifier(small_spec(), small_tensors(small_spec())).engine
    assert isinstance(engine, TorchEngine)
    exported = export(engine.network, small_spec().preprocessing.size)
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8), np.uint8)
    return {"fp32": exported, "int8": quantize(exported, np.kron(images, np.ones((1, 8, 8), np.uint8)))}


@pytest.fixture(scope="session")
def small_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model with one published version; never write into it."""
    return write_small_artifact(tmp_path_factory.mktemp("models"))
