"""The manifests as `kubectl apply -k` would send them, as plain data."""

import copy
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
K8S = PROJECT / "k8s"
OVERLAYS = tuple(sorted(path.parent.name for path in K8S.glob("overlays/*/kustomization.yaml")))
BASES = tuple(sorted(path.parent.name for path in K8S.glob("base/*/kustomization.yaml")))

Objects = list[dict[str, Any]]


def render(folder: str) -> Objects:
    """All objects of a kustomization, e.g. `overlays/dev`; a copy, which may be changed."""
    return copy.deepcopy(_render(folder))


@cache
def _render(folder: str) -> Objects:
    kubectl = Path(sysconfig.get_path("scripts")) / "kubectl"  # of the development dependencies
    command = str(kubectl) if kubectl.exists() else shutil.which("kubectl")
    if command is None:
        pytest.skip("there is no kubectl, neither beside this Python nor on the PATH")
    built = subprocess.run(
        [command, "kustomize", str(K8S / folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert built.returncode == 0, built.stderr
    assert "deprecated" not in built.stderr, built.stderr
    return list(yaml.safe_load_all(built.stdout))


def find(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    """The object of this kind and name."""
    (found,) = (one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def named(objects: Objects, *kinds: str) -> dict[str, dict[str, Any]]:
    """Objects of these kinds by name."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] in kinds}


def workloads(objects: Objects) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Jobs and Deployments: `Kind/name`, the object, and the specification of its pods."""
    for one in objects:
        if one["kind"] in ("Job", "Deployment"):
            yield f"{one['kind']}/{one['metadata']['name']}", one, one["spec"]["template"]["spec"]


def labels(workload: dict[str, Any]) -> dict[str, str]:
    """Of a workload's pods."""
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def selects(selector: dict[str, Any], found: dict[str, str]) -> bool:
    """Whether a selector of labels finds them; `matchLabels` is all that is used."""
    assert set(selector) <= {"matchLabels"}, selector
    return selector.get("matchLabels", {}).items() <= found.items()
