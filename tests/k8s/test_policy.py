"""Every overlay keeps to every rule of policy.py, and every rule notices when it is broken."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.k8s.policy import RULES
from tests.k8s.rendering import K8S, OVERLAYS, Objects, find, named, render

Change = Callable[[Objects], Any]


def faults(objects: Objects) -> dict[str, list[str]]:
    """By the rule's name, without rules that found none."""
    found = {rule.__name__: list(rule(objects)) for rule in RULES}
    return {name: lines for name, lines in found.items() if lines}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_keeps_to_every_rule(overlay: str) -> None:
    assert faults(render(f"overlays/{overlay}")) == {}


def test_training_on_several_nodes_keeps_to_every_rule() -> None:
    objects = [*render("base/training-distributed"), *render("base/settings")]
    for one in objects:
        one["metadata"]["namespace"] = "samx"
    assert set(faults(objects)) <= {"images_are_pinned"}  # an overlay's business


def pod(objects: Objects, kind: str = "Deployment", name: str = "samx-service") -> dict[str, Any]:
    found: dict[str, Any] = find(objects, kind, name)["spec"]["template"]["spec"]
    return found


def container(objects: Objects, kind: str = "Deployment", name: str = "samx-service") -> dict[str, Any]:
    found: dict[str, Any] = pod(objects, kind, name)["containers"][0]
    return found


def job(objects: Objects, name: str = "samx-training") -> dict[str, Any]:
    spec: dict[str, Any] = find(objects, "Job", name)["spec"]
    return spec


def policy(objects: Objects, name: str = "samx-service") -> dict[str, Any]:
    spec: dict[str, Any] = find(objects, "NetworkPolicy", name)["spec"]
    return spec


def configuration(objects: Objects) -> dict[str, str]:
    (found,) = (one for name, one in named(objects, "ConfigMap").items() if name.startswith("samx-service-"))
    data: dict[str, str] = found["data"]
    return data


def matched(objects: Objects, kind: str, name: str = "samx-service") -> dict[str, str]:
    found: dict[str, str] = find(objects, kind, name)["spec"]["selector"]["matchLabels"]
    return found


def remove(objects: Objects, kind: str, name: str) -> None:
    objects.remove(find(objects, kind, name))


BROKEN: dict[str, list[tuple[str, Change]]] = {
    "pods_are_restricted": [
        ("root", lambda o: pod(o)["securityContext"].update(runAsUser=0)),
        ("may be root", lambda o: pod(o)["securityContext"].pop("runAsNonRoot")),
        ("no seccomp", lambda o: pod(o)["securityContext"].pop("seccompProfile")),
        ("no group", lambda o: pod(o)["securityContext"].pop("fsGroup")),
        ("host network", lambda o: pod(o).update(hostNetwork=True)),
        ("host path", lambda o: pod(o)["volumes"].append({"name": "x", "hostPath": {"path": "/"}})),
        ],
    "containers_are_restricted": [
        ("escalation", lambda o: container(o)["securityContext"].pop("allowPrivilegeEscalation")),
        ("writable root", lambda o: container(o)["securityContext"].update(readOnlyRootFilesystem=False)),
        ("capabilities", lambda o: container(o)["securityContext"].update(capabilities={"drop": ["NET_RAW"]})),
        ("added", lambda o: container(o)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"])),
        ("privileged", lambda o: container(o)["securityContext"].update(privileged=True)),
        ("a Job's", lambda o: container(o, "Job", "samx-training").pop("securityContext")),
    ],
    "namespaces_enforce_it": [
        ("baseline", lambda o: find(o, "Namespace", "samx")["metadata"]["labels"].clear()),
        ("elsewhere", lambda o: find(o, "Service", "samx-service")["metadata"].update(namespace="default")),
    ],
    "no_token_of_the_cluster": [
        ("of the pod", lambda o: pod(o).pop("automountServiceAccountToken")),
        ("of the account", lambda o: find(o, "ServiceAccount", "samx-service").pop("automountServiceAccountToken")),
        ("default account", lambda o: pod(o).pop("serviceAccountName")),
        ("service links", lambda o: pod(o).pop("enableServiceLinks")),
        ("a role", lambda o: o.append({"kind": "Role", "metadata": {"name": "x", "namespace": "samx"}})),
    ],
    "resources_are_bounded": [
        ("no memory", lambda o: container(o)["resources"]["limits"].pop("memory")),
        ("no cpu", lambda o: container(o)["resources"]["requests"].pop("cpu")),
        ("more memory", lambda o: container(o)["resources"]["limits"].update(memory="64Gi")),
        ("gpu", lambda o: container(o, "Job", "samx-training")["resources"]["requests"].pop("nvidia.com/gpu")),
        ("scratch", lambda o: pod(o)["volumes"][-1]["emptyDir"].clear()),
    ],
    "home_is_writable": [
        ("no home", lambda o: container(o)["env"].pop(0)),
        ("home elsewhere", lambda o: container(o)["env"][0].update(value="/home/samx")),
        ("no scratch", lambda o: container(o)["volumeMounts"].clear()),
        ("config", lambda o: container(o, "Job", "samx-training")["volumeMounts"][0].pop("readOnly")),
    ],
    "images_are_pinned": [
        ("latest", lambda o: container(o).update(image="samx-service:latest")),
        ("no tag", lambda o: container(o).update(image="samx-service")),
        ("a tag in production", lambda o: container(o).update(image="samx-service:1.0.0")),
        ("half a digest", lambda o: container(o).update(image="samx-service@sha256:00")),
    ],
    "jobs_know_the_exit_codes": [
        ("no policy", lambda o: job(o).pop("podFailurePolicy")),
        ("2 is retried", lambda o: job(o)["podFailurePolicy"]["rules"].pop(0)),
        ("75 counts", lambda o: job(o)["podFailurePolicy"]["rules"].pop(1)),
        ("disruption counts", lambda o: job(o)["podFailurePolicy"]["rules"].pop(2)),
        ("75 fails", lambda o: job(o)["podFailurePolicy"]["rules"][1].update(action="FailJob")),
        (
            "another container",
            lambda o: job(o)["podFailurePolicy"]["rules"][0]["onExitCodes"].update(containerName="x"),
        ),
        ("restarts", lambda o: pod(o, "Job", "samx-training").update(restartPolicy="OnFailure")),
        ("two pods", lambda o: job(o).pop("podReplacementPolicy")),
        ("for ever", lambda o: job(o).update(backoffLimit=1000)),
        ("per index", lambda o: job(o, "samx-sorting").pop("backoffLimitPerIndex")),
    ],
    "indexed_jobs_agree_with_their_size": [
        ("parts", lambda o: job(o, "samx-sorting").update(completions=5)),
        ("told", lambda o: container(o, "Job", "samx-sorting")["env"][1].update(value="3")),
    ],
    "deployments_are_probed": [
        ("no liveness", lambda o: container(o).pop("livenessProbe")),
        ("no readiness", lambda o: container(o, "Deployment", "samx-labelling").pop("readinessProbe")),
        ("no start", lambda o: container(o).pop("startupProbe")),
        ("a port", lambda o: container(o)["readinessProbe"]["httpGet"].update(port="metrics")),
    ],
    "services_reach_pods": [
        ("selects nothing", lambda o: find(o, "Service", "samx-service")["spec"]["selector"].update(x="y")),
        ("a port", lambda o: find(o, "Service", "samx-labelling")["spec"]["ports"][0].update(targetPort=80)),
        ("itself", lambda o: matched(o, "Deployment").update(x="y")),
    ],
    "autoscalers_and_budgets_find_their_target": [
        ("budget", lambda o: matched(o, "PodDisruptionBudget").update(x="y")),
        (
            "autoscaler",
            lambda o: find(o, "HorizontalPodAutoscaler", "samx-service")["spec"]["scaleTargetRef"].update(name="x"),
        ),
    ],
    "the_service_is_highly_available": [
        ("not spread", lambda o: pod(o).pop("topologySpreadConstraints")),
        ("roll-out", lambda o: find(o, "Deployment", "samx-service")["spec"].pop("strategy")),
        ("no budget", lambda o: remove(o, "PodDisruptionBudget", "samx-service")),
        ("no autoscaler", lambda o: remove(o, "HorizontalPodAutoscaler", "samx-service")),
        ],
    "the_service_drains": [
        ("no preStop", lambda o: container(o).pop("lifecycle")),
        ("not ready", lambda o: container(o)["readinessProbe"]["httpGet"].update(path="/livez")),
        ("no limit", lambda o: container(o)["resources"]["limits"].pop("cpu")),
    ],
    "every_pod_has_a_network_policy": [
        ("not selected", lambda o: policy(o)["podSelector"]["matchLabels"].update(x="y")),

        ("no policy", lambda o: remove(o, "NetworkPolicy", "samx-service")),
        ],
    "network_policies_are_narrow": [
        ("egress open", lambda o: policy(o)["policyTypes"].remove("Egress")),
        ("to everybody", lambda o: policy(o)["egress"].append({})),
        ("any port", lambda o: policy(o)["egress"][1].pop("ports")),
        ("another port", lambda o: policy(o)["egress"][1]["ports"].append({"port": 22})),
        ("collector", lambda o: configuration(o).update(SAMX_TRACES_URL="http://collector.elsewhere:4318/v1/traces")),
        ("metadata", lambda o: policy(o)["egress"][1]["to"][0].update(ipBlock={"cidr": "0.0.0.0/0"})),
        ("from everybody", lambda o: policy(o, "samx-labelling").update(ingress=[{}])),
    ],
    "references_exist": [
        ("configuration", lambda o: remove(o, "ConfigMap", "samx-training")),
        ("secret", lambda o: pod(o, "Deployment", "samx-labelling")["volumes"][1]["secret"].update(secretName="x")),
        ("variables", lambda o: container(o)["envFrom"][1]["configMapRef"].update(name="x", optional=False)),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "change"),
    [pytest.param(rule, change, id=f"{rule}: {name}") for rule, changes in BROKEN.items() for name, change in changes],
)
def test_what_is_broken_on_purpose_is_found(rule: str, change: Change) -> None:
    objects = render("overlays/production")
    change(objects)
    assert rule in faults(objects)


def test_every_rule_has_been_seen_to_find_something() -> None:
    assert set(BROKEN) == {rule.__name__ for rule in RULES}


def test_nodes_that_wait_for_each_other_must_all_run() -> None:
    objects = render("base/training-distributed")
    job(objects)["parallelism"] = 1
    assert "indexed_jobs_agree_with_their_size" in faults(objects)


def test_no_manifest_names_a_registry() -> None:
    for path in K8S.rglob("*.*"):
        text = path.read_text()
        assert not re.search(r"(newName|image): *[\w-]+\.[\w.-]+/", text), path
