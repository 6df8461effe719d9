import os
import subprocess
import sys
from pathlib import Path

import pytest

from samx.errors import WrongInput
from service.settings import BUNDLED_ARTIFACT, Settings, server_environment


def test_defaults_are_for_production(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SAMX_{name.upper()}", raising=False)
    settings = Settings.from_environment()
    assert settings.max_body_bytes == 64 * 1024 * 1024
    assert settings.artifact == str(BUNDLED_ARTIFACT)
    assert Path(__file__).resolve().parents[2] / "artifact" == BUNDLED_ARTIFACT  # beside the package, as in a bento


def test_environment_overrides_defaults_and_empty_means_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMX_THREADS", "3")
    monkeypatch.setenv("SAMX_MAX_BODY_BYTES", "4096")
    monkeypatch.setenv("SAMX_MAX_WAITING", "")
    settings = Settings.from_environment()
    assert (settings.threads, settings.max_body_bytes, settings.max_waiting) == (3, 4096, 16)


def test_batch_size_is_one_that_is_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMX_MAX_BATCH_SIZE", "4")
    assert Settings.from_environment().max_batch_size == 4
    for wrong in ("3", "four", "-4"):
        monkeypatch.setenv("SAMX_MAX_BATCH_SIZE", wrong)
        with pytest.raises(WrongInput, match="SAMX_MAX_BATCH_SIZE: Input should be 1, 2, 4, 8, 16 or 32"):
            Settings.from_environment()


def test_every_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMX_THREADS", "many")
    monkeypatch.setenv("SAMX_DEVICE", "abacus")
    with pytest.raises(WrongInput, match=r"SAMX_DEVICE.*SAMX_THREADS"):
        Settings.from_environment()


def test_cores_are_divided_among_threads() -> None:
    one, many = Settings(threads=1), Settings(threads=1000)
    assert one.engine_threads >= 1
    assert many.engine_threads == 1


def test_server_does_not_report_usage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BENTOML_HOME", raising=False)
    environment = server_environment(str(tmp_path), artifact="s3://models/samx", threads=2)
    assert environment["BENTOML_DO_NOT_TRACK"] == "True"
    assert environment["SAMX_ARTIFACT"] == "s3://models/samx"
    assert environment["SAMX_THREADS"] == "2"
    assert environment["BENTOML_HOME"] == str(tmp_path)


def test_products_of_numpy_leave_the_cores_to_the_engine() -> None:
    program = (
        "import service.api, numpy, threadpoolctl\n"
        "print([pool['num_threads'] for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas'])"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_NUM_THREADS"}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[1]"
