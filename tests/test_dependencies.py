"""What is depended on: floors for what meets untrusted bytes, licences, and who may import what."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).parent.parent

FLOORS = {  # the first releases without a known hole where untrusted bytes are met
    "bentoml": "1.4.39",
    "starlette": "1.3.1",
    "python-multipart": "0.0.27",
    "pillow": "13.0.0",
    "pydicom": "3.0.2",
    "torch": "2.10",
}

COMES_WITH = {  # imported without a requirement of its own: one half of another's interface
    "botocore": "boto3",  # boto3 asks for the releases that fit it; its errors and settings are botocore's
    "anyio": "starlette",  # starlette runs on it and gives its objects to callers
}


@cache
def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return table


def requirements(*extras: str) -> dict[str, Requirement]:
    """What pip installs directly for these extras, by canonical name."""
    lines = project()["dependencies"] + [line for extra in extras for line in project()["optional-dependencies"][extra]]
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, lines)}


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("samx", "training", "service", include_external_packages=True, cache_dir=None)


def importers(*modules: str) -> set[str]:
    """Our modules that import any of these by a statement of their own."""
    return {
        importer
        for module in modules
        if module in imports().modules
        for importer in imports().find_modules_that_directly_import(module)
    }


# -------------------------------------------------------------------------------------------------------------- floors


@pytest.mark.parametrize("name", FLOORS)
def test_installed_versions_hold_the_floors(name: str) -> None:
    assert Version(distribution(name).version) >= Version(FLOORS[name])


@pytest.mark.parametrize("name", FLOORS)
def test_no_version_below_the_floor_can_be_installed(name: str) -> None:
    lower_bounds = [
        Version(specifier.version)
        for specifier in requirements("training", "service", "client")[name].specifier
        if specifier.operator in (">=", "==", "~=")
    ]
    assert lower_bounds, f"{name} has no lower bound in pyproject.toml"
    assert max(lower_bounds) >= Version(FLOORS[name])


def test_the_service_s_image_holds_the_floors() -> None:
    pins = dict(re.findall(r'- "([\w-]+)==([\w.]+)"', (PROJECT / "bentofile.yaml").read_text()))
    assert pins.keys() >= FLOORS.keys() - {"torch"}  # which the image does without
    assert {name for name, floor in FLOORS.items() if name in pins and Version(pins[name]) < Version(floor)} == set()


@pytest.mark.parametrize("name", sorted(requirements("training", "service", "client")))
def test_what_is_installed_is_what_is_asked_for(name: str) -> None:
    installed = Version(distribution(name).version)
    assert requirements("training", "service", "client")[name].specifier.contains(installed)


# ------------------------------------------------------------------------------------------------------------ licences


def runtime_distributions() -> dict[str, str]:
    """Everything that pip installs for all extras, transitively, with its licence in one line."""
    waiting = list(requirements("training", "service", "client").values())
    seen: set[tuple[str, frozenset[str]]] = set()
    licences = {}
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = distribution(name)
        except PackageNotFoundError:  # for another kind of machine: torch asks for CUDA's libraries by marker
            continue
        licences[name] = licence_of(found.metadata)
        for line in found.requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append(needed)
    return licences


def licence_of(metadata: Any) -> str:
    """Expression, classifiers and the first line of the free text: what follows it quotes the licences of others."""
    classifiers = [line for line in metadata.get_all("Classifier") or () if line.startswith("License ::")]
    first_line = (metadata.get("License") or "").strip().partition("\n")[0]
    return "; ".join(filter(None, [metadata.get("License-Expression"), *classifiers, first_line]))


def is_gpl(licence: str) -> bool:
    """GPL, LGPL and AGPL of any version; not GCC's runtime, whose exception lets it be linked to anything."""
    exempt = re.sub(
        r"\bL?GPL-3\.0(-or-later|-only)?[ -]with[ -]GCC-exception(-3\.1)?", "", licence, flags=re.IGNORECASE
    )
    return bool(re.search(r"(\b|[AL])GPL|GNU (\w+ )*General Public", exempt))


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("GPL-3.0-or-later", True),
        ("MIT AND LGPL-2.1", True),
        ("AGPLv3", True),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", True),
        ("GNU Lesser General Public License", True),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", False),
        ("MIT-CMU", False),
        ("License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)", False),
    ],
)
def test_licences_are_told_apart(licence: str, expected: bool) -> None:
    assert is_gpl(licence) == expected


def test_nothing_under_the_gpl_is_shipped() -> None:
    licences = runtime_distributions()
    assert {"torch", "bentoml", "numpy", "uvicorn", "joblib"} <= licences.keys(), "the walk reaches what comes along"
    assert {name: licence for name, licence in licences.items() if is_gpl(licence)} == {}
    assert "pylibjpeg-libjpeg" not in licences, "GPL-3; pydicom would use it if it were there"


def test_every_licence_is_stated() -> None:
    assert {name for name, licence in runtime_distributions().items() if not licence} == set()


# ---------------------------------------------------------------------------------------------------- who imports what


def test_import_contracts_are_kept() -> None:
    command = Path(sysconfig.get_path("scripts")) / "lint-imports"
    done = subprocess.run([command, "--no-cache"], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = re.search(r"Contracts: (\d+) kept, 0 broken", done.stdout)
    assert kept, done.stdout
    assert int(kept[1]) >= 5


def test_only_the_named_modules_import_what_is_fenced_in() -> None:
    assert importers("bentoml") == {"service.api"}
    assert importers("boto3", "botocore", "s3transfer") == {"samx.storage.bucket"}
    assert importers("locust") == set()
    assert {name.rpartition(".")[0] for name in importers("httpx")} == {"samx.client"}
    assert {name.partition(".")[0] for name in importers("fastapi")} == {"service"}
    assert {name for name in importers("starlette", "uvicorn") if not name.startswith("service.")} == {
        "training.labelling.access",
        "training.labelling.command",
        "training.labelling.server",
    }
    assert {name.partition(".")[0] for name in importers("sklearn", "matplotlib")} == {"training"}


def test_pickle_is_imported_nowhere() -> None:
    assert importers("pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal") == set()


@pytest.mark.parametrize(
    ("package", "extras"), [("samx", ("torch", "client")), ("training", ("training",)), ("service", ("service",))]
)
def test_what_a_package_imports_is_declared(package: str, extras: tuple[str, ...]) -> None:
    ours = {"samx", "training", "service"}
    imported = (
        {
            target.partition(".")[0]
            for module in imports().modules
            if module.partition(".")[0] == package
            for target in imports().find_modules_directly_imported_by(module)
        }
        - ours
        - sys.stdlib_module_names
    )
    assert len(imported) > 3
    providers = packages_distributions()
    declared = requirements(*extras).keys()
    undeclared = {
        module
        for module in imported
        if declared.isdisjoint(
            canonicalize_name(provider)
            for name in (module, COMES_WITH.get(module, module))
            for provider in providers.get(name, ())
        )
    }
    assert undeclared == set()


def test_imports_in_a_fresh_process_bring_nothing_else_along() -> None:
    """Also what is imported by name at run time, which reading the source does not show."""
    script = (
        "import sys, samx.classifier; print(*sys.modules); import service.routes, service.model; print(*sys.modules)"
    )
    lines = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout.splitlines()
    samx, service = (set(line.split()) for line in lines)
    assert samx >= {"onnxruntime", "samx.classifier"}
    assert service >= {"fastapi", "service.routes", "service.model"}
    assert samx.isdisjoint(
        {
            *("service", "training", "samx.phantom", "samx.client"),
            *("torch", "httpx", "bentoml", "fastapi", "sklearn", "matplotlib"),
        }
    )
    assert service.isdisjoint({"training", "samx.phantom", "torch", "bentoml", "sklearn", "matplotlib"})
