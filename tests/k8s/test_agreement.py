"""What manifests say of the code is so: settings, ports, exit codes, configuration, rights, metrics."""

import fnmatch
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import training.__main__ as training_command
from service.settings import PREFIX, Settings
from service.sorting import command as sorting_command
from service.sorting.options import add_sorting
from tests.k8s.rendering import K8S, OVERLAYS, PROJECT, Objects, find, named, render, workloads
from tests.service.conftest import Server
from training.config import TrainingConfig
from training.labelling.command import _parser as labelling_parser

SYSTEM = ("production", "dev")


def environment(objects: Objects, where: str) -> dict[str, str]:
    """What a workload's container is told by the manifests."""
    (pod,) = (pod for found, _, pod in workloads(objects) if found == where)
    (container,) = pod["containers"]
    maps = named(objects, "ConfigMap")
    given: dict[str, str] = {}
    for source in container.get("envFrom", []):
        given |= maps.get(source.get("configMapRef", {}).get("name"), {}).get("data", {})
    return given | {entry["name"]: entry["value"] for entry in container.get("env", [])}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_of_the_service_is_a_setting_with_an_allowed_value(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where in ("Deployment/samx-service", "Job/samx-sorting", "Job/samx-merging"):
        given = {k: v for k, v in environment(render(f"overlays/{overlay}"), where).items() if k.startswith(PREFIX)}
        assert {name.removeprefix(PREFIX).lower() for name in given} <= set(Settings.model_fields)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        settings = Settings.from_environment()
        assert settings.artifact == given["SAMX_ARTIFACT"]


def test_the_grace_period_is_longer_than_everything_that_may_have_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = render("overlays/production")
    for name, value in environment(objects, "Deployment/samx-service").items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    settings = Settings.from_environment()
    pod = find(objects, "Deployment", "samx-service")["spec"]["template"]["spec"]
    pre_stop = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    longest = max(settings.body_timeout_seconds + settings.request_timeout_seconds, settings.batch_timeout_seconds)
    assert pod["terminationGracePeriodSeconds"] > pre_stop + settings.drain_seconds + longest


def test_memory_holds_the_bodies_that_may_wait() -> None:
    """Every place may hold a body of the largest size, beside the model and what reading takes."""
    settings = Settings(threads=2)
    (container,) = find(render("base/service"), "Deployment", "samx-service")["spec"]["template"]["spec"]["containers"]
    bodies = (settings.threads + settings.max_waiting) * settings.max_body_bytes
    assert container["resources"]["limits"]["memory"] == "3Gi"
    assert bodies + 1.5 * 1024**3 < 3 * 1024**3


@pytest.mark.parametrize("folder", ["base", "base/training-distributed", *(f"overlays/{name}" for name in OVERLAYS)])
def test_the_configuration_is_one_that_the_job_takes(folder: str) -> None:
    text = find(render(folder), "ConfigMap", "samx-training")["data"]["training.toml"]
    config = TrainingConfig.model_validate(tomllib.loads(text))
    assert config.label.simulated_reader is None, "a person names the clusters"
    assert all(url.startswith("s3://") for url in (config.source, config.run, config.publish.models))


def test_the_service_serves_what_the_job_publishes() -> None:
    for overlay in SYSTEM:
        objects = render(f"overlays/{overlay}")
        text = find(objects, "ConfigMap", "samx-training")["data"]["training.toml"]
        config = TrainingConfig.model_validate(tomllib.loads(text))
        for where in ("Deployment/samx-service", "Job/samx-sorting", "Job/samx-merging"):
            url = f"{config.publish.models}/{config.publish.name}"
            assert environment(objects, where)["SAMX_ARTIFACT"] == url


def test_exit_codes_of_the_policy_are_those_of_the_code() -> None:
    assert (training_command.WRONG_INPUT, training_command.INTERRUPTED) == (2, 75)
    assert (sorting_command.WRONG_INPUT, sorting_command.INTERRUPTED) == (2, 75)
    for name, job in named(render("base"), "Job").items():
        rules = job["spec"]["podFailurePolicy"]["rules"]
        codes = {code: rule["action"] for rule in rules for code in rule.get("onExitCodes", {}).get("values", [])}
        assert codes == {2: "FailJob", 75: "Ignore"}, name


def test_commands_are_words_that_the_programs_know() -> None:
    import argparse

    objects = render("base")
    (page,) = find(objects, "Deployment", "samx-labelling")["spec"]["template"]["spec"]["containers"]
    assert page["command"][:4] == ["python", "-m", "training", "labelling"]
    options = labelling_parser().parse_args([*page["command"][4:], *page["args"]])
    assert options.port == page["ports"][0]["containerPort"]
    (job,) = find(objects, "Job", "samx-training")["spec"]["template"]["spec"]["containers"]
    assert training_command._parser().parse_args(job["command"][3:]).command == "run"
    parser = argparse.ArgumentParser()
    add_sorting(parser.add_subparsers(dest="command"))
    for name, wanted in (("samx-sorting", {"shard": (0, 4)}), ("samx-merging", {"merge": 604800.0})):
        (sort,) = find(objects, "Job", name)["spec"]["template"]["spec"]["containers"]
        words = " ".join([*sort["command"][3:], *sort["args"]])
        words = words.replace("$(JOB_COMPLETION_INDEX)", "0").replace("$(NUM_PARTS)", "4").replace("$(JOB)", "first")
        options = vars(parser.parse_args(words.split()))
        assert wanted.items() <= options.items()


def test_the_service_listens_where_it_is_asked() -> None:
    (container,) = find(render("base"), "Deployment", "samx-service")["spec"]["template"]["spec"]["containers"]
    arguments = dict(zip(container["args"][::2], container["args"][1::2], strict=True))
    assert arguments == {"--host": "0.0.0.0", "--port": str(container["ports"][0]["containerPort"])}
    assert container["command"][-1] == yaml.safe_load((PROJECT / "bentofile.yaml").read_text())["service"]


# ------------------------------------------------------------------------------------------------------------- rights


def allows(component: str, action: str, url: str) -> bool:
    """Whether the component's policy allows an action on an object."""
    resource = "arn:aws:s3:::" + url.removeprefix("s3://")
    for statement in json.loads((K8S / f"iam/{component}.json").read_text())["Statement"]:
        actions, resources = (
            [found] if isinstance(found, str) else found for found in (statement["Action"], statement["Resource"])
        )
        assert statement["Effect"] == "Allow"
        if action in actions and any(fnmatch.fnmatchcase(resource, pattern) for pattern in resources):
            return True
    return False


READ, WRITE, DELETE = "s3:GetObject", "s3:PutObject", "s3:DeleteObject"


@pytest.mark.parametrize(
    ("component", "place", "actions"),
    [
        ("training", "source", {READ}),
        ("training", "run", {READ, WRITE, DELETE}),
        ("training", "models", {READ, WRITE}),
        ("training", "sorted", set()),
        ("labelling", "source", {READ}),
        ("labelling", "run", {READ}),
        ("labelling", "decisions", {READ, WRITE}),
        ("labelling", "models", set()),
        ("service", "source", set()),
        ("service", "run", set()),
        ("service", "models", {READ}),
        ("service", "sorted", set()),
        ("sorting", "source", {READ}),
        ("sorting", "models", {READ}),
        ("sorting", "run", set()),
        ("sorting", "sorted", {READ, WRITE, DELETE}),
    ],
)
def test_each_role_may_do_what_its_component_does_and_no_more(component: str, place: str, actions: set[str]) -> None:
    objects = render("overlays/production")
    config = TrainingConfig.model_validate(
        tomllib.loads(find(objects, "ConfigMap", "samx-training")["data"]["training.toml"])
    )
    urls = {
        "source": config.source,
        "run": config.run,
        "decisions": config.run,
        "models": config.publish.models,
        "sorted": environment(objects, "Job/samx-sorting")["DESTINATION"],
    }
    name = "audit_log.jsonl" if place == "decisions" else "some/object"
    found = {action for action in (READ, WRITE, DELETE) if allows(component, action, f"{urls[place]}/{name}")}
    assert found == actions


def test_every_component_has_a_role() -> None:
    accounts = {name.removeprefix("samx-") for name in named(render("base"), "ServiceAccount")}
    assert accounts == {path.stem for path in (K8S / "iam").glob("*.json")}


# ------------------------------------------------------------------------------------------------------------ metrics

OF_OTHERS = {"up", "kube_job_failed"}
"""Made by Prometheus itself and by kube-state-metrics."""


def expressions() -> list[str]:
    """Every PromQL expression of alerts, dashboard and autoscaler."""
    alerts = yaml.safe_load((K8S / "components/monitoring/alerts.yaml").read_text())
    rules = [rule for group in alerts["spec"]["groups"] for rule in group["rules"]]
    dashboard = json.loads((K8S / "components/monitoring/dashboard.json").read_text())
    scaled = yaml.safe_load((K8S / "components/autoscaling-keda/scaled-object.yaml").read_text())
    return (
        [rule["expr"] for rule in rules]
        + [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        + [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    )


def metrics_of(expression: str) -> set[str]:
    """Names that are selected from: followed by a selector, or compared."""
    found = set(re.findall(r"\b((?:samx|bentoml|kube)_\w+)", re.sub(r'"[^"]*"', '""', expression)))
    return found | ({"up"} if re.search(r"\bup\{", expression) else set())


def test_every_metric_that_is_watched_is_one_that_the_service_has(server: Server, knee_dicom: bytes) -> None:
    server.classify(knee_dicom)
    answered = {line.split("{")[0].split(" ")[0] for line in server.series()}
    wanted = set().union(*(metrics_of(expression) for expression in expressions())) - OF_OTHERS
    assert len(wanted) >= 10
    assert wanted - answered - declared_metrics() == set()


def declared_metrics() -> set[str]:
    """What service/metrics.py declares, as Prometheus names it; a counter that has counted nothing is not answered."""
    text = (PROJECT / "service/metrics.py").read_text()
    suffixes = {"Counter": ("_total",), "Gauge": ("",), "Histogram": ("_bucket", "_sum", "_count")}
    found = re.findall(r"= (Counter|Gauge|Histogram)\(\s*\"(\w+)\"", text)
    return {name + suffix for kind, name in found for suffix in suffixes[kind]}


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_is_balanced_and_watches_something(expression: str) -> None:
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)
    assert metrics_of(expression)


def test_every_alert_says_what_to_do() -> None:
    alerts: dict[str, Any] = yaml.safe_load((K8S / "components/monitoring/alerts.yaml").read_text())
    for group in alerts["spec"]["groups"]:
        for rule in group["rules"]:
            assert {"summary", "action"} <= rule["annotations"].keys(), rule["alert"]
            assert rule["labels"]["severity"] in ("warning", "critical")


# ------------------------------------------------------------------------------------------------------------- images


def test_locks_of_the_images_are_the_lock() -> None:
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    lock = dict(line.split("==") for line in lines if "==" in line)
    for name in ("training", "service", "torch-cuda"):
        text = (PROJECT / f"locks/{name}.txt").read_text()
        pins = dict(re.findall(r"^([\w.-]+)==(\S+) \\$", text, re.MULTILINE))
        others = {key for key in pins if re.match(r"(nvidia|cuda|triton)", key) and key not in lock}
        assert {key: pins[key] for key in pins if key not in others} == {
            key: lock[key] for key in pins if key not in others
        }
        assert others == set() or name == "torch-cuda"
        assert text.count("--hash=sha256:") >= len(pins)
        assert "://" not in text


def test_locks_hold_what_the_packages_need() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    for extra in ("training", "service"):
        text = "".join((PROJECT / f"locks/{name}.txt").read_text() for name in (extra, "torch-cuda"))
        for line in [*project["dependencies"], *project["optional-dependencies"][extra]]:
            assert re.search(rf"^{Requirement(line).name}==", text, re.MULTILINE), f"make locks: {line}"


@pytest.mark.parametrize("name", ["training", "service"])
def test_an_image_runs_as_the_user_of_the_manifests_and_names_no_registry(name: str) -> None:
    text = (PROJECT / name / "Dockerfile").read_text()
    pod = find(render("base/labelling"), "Deployment", "samx-labelling")["spec"]["template"]["spec"]
    user, group = (pod["securityContext"][key] for key in ("runAsUser", "runAsGroup"))
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == [f"{user}:{group}"]
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert "latest" not in text
    others = {"training", "service"} - {name}
    assert not re.search(rf"COPY ({'|'.join(others)}) ", text)
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert all((PROJECT / word).exists() for line in copied for word in line.split())
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    assert {Path(word).parts[0] for line in copied for word in line.split()} <= {
        line.removeprefix("!") for line in ignored if line.startswith("!")
    }


def test_the_dev_overlay_takes_the_images_that_make_builds() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    images = {container["image"] for _, _, pod in workloads(render("overlays/dev")) for container in pod["containers"]}
    assert {f"samx-training:{version}", f"samx-service:{version}"} == {one for one in images if one.startswith("samx-")}
