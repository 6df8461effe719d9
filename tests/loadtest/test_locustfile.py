"""The locust file against the real server, for a few seconds."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from samx.phantom import export_phantom
from tests.service.conftest import PROJECT, start_server

SHORT = {"RAMP": 1, "STEADY": 4, "SPIKE": 1, "RECOVERY": 4, "SETTLE": 1, "THINK": 0.05}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="locust is not installed (group `load`)")
@pytest.mark.parametrize(("kind", "limit", "code"), [("classify", 60, 0), ("classify", 0.0001, 1)])
def test_thresholds_set_the_exit_code(small_artifact: Path, tmp_path: Path, kind: str, limit: float, code: int) -> None:
    export_phantom(tmp_path / "phantoms", num_radiographs=6, seed=1, size=160, workers=1)
    limits = {f"SAMX_LOAD_P{share}_SECONDS": f"{kind}={limit}" for share in (95, 99)}
    stages = {f"SAMX_LOAD_{name}_SECONDS": str(seconds) for name, seconds in SHORT.items()}
    command = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py"]
    for server in start_server(tmp_path, SAMX_ARTIFACT=str(small_artifact), SAMX_MAX_WAITING="64"):
        report = tmp_path / "report.html"
        done = subprocess.run(
            [*command, "--headless", "--host", server.url, "--html", str(report)],
            cwd=PROJECT,
            env={
                **os.environ,
                **stages,
                **limits,
                "SAMX_LOAD_FILES": str(tmp_path / "phantoms"),
                "SAMX_LOAD_USERS": "6",
                "SAMX_LOAD_SPIKE_USERS": "12",
                "SAMX_LOAD_MIN_RECOVERY": "0.2",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        log = done.stdout + done.stderr
        assert done.returncode == code, log
        assert ("All thresholds are held." in log) == (code == 0), log
        assert len(re.findall(r"NOT HELD  classify: p9[59] is", log)) == 2 * code, log
        assert "classify" in report.read_text()
