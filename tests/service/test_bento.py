"""What `bentoml build` packs."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.service.conftest import PROJECT, start_server
from tests.small_artifact import synthetic_png


def pinned_packages() -> dict[str, str]:
    """Packages of bentofile.yaml with their versions."""
    packages = yaml.safe_load((PROJECT / "bentofile.yaml").read_text())["python"]["packages"]
    return dict(package.split("==") for package in packages)


def test_packages_are_those_of_the_project() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["service"]]
    assert set(pinned_packages()) == {Requirement(line).name for line in wanted}


def test_versions_are_those_of_the_lock() -> None:
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    lock = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    assert pinned_packages() == {name: lock[name] for name in pinned_packages()}


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fresh bento, in a BentoML home of its own."""
    home = tmp_path_factory.mktemp("bentoml")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # BentoML calls uv
    environment = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", "PATH": path}
    command = [sys.executable, "-m", "bentoml", "build"]
    built = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (folder,) = (path.parent for path in home.glob("bentos/samx/*/bento.yaml"))
    return folder


def test_bento_holds_service_and_samx_only(bento: Path) -> None:
    files = {str(path.relative_to(bento / "src")) for path in (bento / "src").rglob("*") if path.is_file()}
    top = {file.split("/")[0] for file in files}
    assert {"service", "samx"} <= top <= {"service", "samx", "artifact", "LICENSE", "bentofile.yaml"}
    assert {"service/api.py", "service/page/index.html", "samx/classifier.py"} <= files
    assert not [file for file in files if file.startswith("samx/phantom") or "cache" in file or file.endswith(".pyc")]


def test_image_does_not_report_usage(bento: Path) -> None:
    assert "BENTOML_DO_NOT_TRACK=True" in (bento / "env/docker/Dockerfile").read_text()


@pytest.mark.slow
def test_bento_serves(bento: Path, small_artifact: Path, tmp_path: Path) -> None:
    running = start_server(tmp_path, service=str(bento), working_dir=bento, SAMX_ARTIFACT=str(small_artifact))
    server = next(running)
    try:
        assert server.classify(synthetic_png(3)).status_code == 200
        assert server.client.get("/").status_code == 200
    finally:
        running.close()
