"""Every object is one that the API server of the last four bundled Kubernetes releases would take."""

import json

import kubernetes_validate
import pytest
from kubernetes_validate.utils import all_versions
from packaging.version import Version

from tests.k8s.rendering import BASES, OVERLAYS, Objects, render

VERSIONS = sorted({version.partition("-")[0] for version in all_versions()}, key=Version)[-4:]
DEFINED_BY_OTHERS = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}
"""Custom resources, whose schemas are not bundled."""


def different_objects() -> Objects:
    folders = [f"overlays/{name}" for name in OVERLAYS] + [f"base/{name}" for name in BASES]
    found = {json.dumps(one, sort_keys=True): one for folder in folders for one in render(folder)}
    return list(found.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version: str) -> None:
    kinds = set()
    for one in different_objects():
        if one["kind"] not in DEFINED_BY_OTHERS:
            kubernetes_validate.validate(one, version, strict=True)
            kinds.add(one["kind"])
    assert {"Job", "Deployment", "NetworkPolicy", "HorizontalPodAutoscaler", "PodDisruptionBudget"} <= kinds


def test_a_field_that_does_not_exist_is_found() -> None:
    (job,) = (one for one in render("base/training") if one["kind"] == "Job")
    job["spec"]["backofLimit"] = 3
    with pytest.raises(kubernetes_validate.ValidationError, match="backofLimit"):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)
