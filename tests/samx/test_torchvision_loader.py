"""torchvision's import in a fresh process: native, failing for another reason, and failing for the missing operator."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# A real `register_fake`, so that torch itself decides what fails; imports of a part are counted, so that a stale one
# would be seen.
_NEEDS_OPERATORS = """
import torch
from torchvision import part
@torch.library.register_fake("torchvision::nms")
def _nms(dets, scores, iou_threshold): ...
@torch.library.register_fake("torchvision::qnms")
def _qnms(dets, scores, iou_threshold): ...
"""

_SCRIPT = """
import builtins, json, sys
from samx import torchvision_loader
builtins.num_part_imports = 0

def attempt(kind):
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    sys.path.insert(0, f"{sys.argv[1]}/{kind}")
    try:
        torchvision_loader.import_torchvision()
        outcome = "imported"
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
    sys.path.pop(0)
    return outcome, len(torchvision_loader._declared), builtins.num_part_imports

outcomes = {kind: attempt(kind) for kind in ("native", "other_error", "needs_operators")}
outcomes["again"] = (torchvision_loader.import_torchvision(), len(torchvision_loader._declared), 0)
print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str | None, int, int]]:
    """Outcome, declarations so far and imports of a submodule so far, for three packages named torchvision in turn."""
    folder = tmp_path_factory.mktemp("packages")
    sources = {
        "native": "",
        "other_error": 'raise RuntimeError("something else is broken")',
        "needs_operators": _NEEDS_OPERATORS,
    }
    for kind, source in sources.items():
        package = folder / kind / "torchvision"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(source)
        (package / "part.py").write_text("import builtins\nbuiltins.num_part_imports += 1\n")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _SCRIPT, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[str | None, int, int]] = json.loads(done.stdout)
    return found


def test_where_torchvision_imports_nothing_is_declared(outcomes: dict[str, tuple[str | None, int, int]]) -> None:
    assert outcomes["native"] == ["imported", 0, 0]


def test_another_error_is_passed_on(outcomes: dict[str, tuple[str | None, int, int]]) -> None:
    assert outcomes["other_error"] == ["RuntimeError: something else is broken", 0, 0]


def test_missing_operators_are_declared_and_the_import_is_repeated_from_its_start(
    outcomes: dict[str, tuple[str | None, int, int]],
) -> None:
    assert outcomes["needs_operators"] == ["imported", 1, 2]


def test_a_second_call_changes_nothing(outcomes: dict[str, tuple[str | None, int, int]]) -> None:
    assert outcomes["again"] == [None, 1, 0]


def test_the_installed_torchvision_is_usable() -> None:
    loader = importlib.import_module("samx.torchvision_loader")
    loader.import_torchvision()
    models = importlib.import_module("torchvision.models")
    loader.import_torchvision()
    assert sys.modules["torchvision.models"] is models
    assert Path(models.__file__).parent.parent.name == "torchvision"
    assert sum(weight.numel() for weight in models.resnet18(weights=None).parameters()) == 11_689_512
