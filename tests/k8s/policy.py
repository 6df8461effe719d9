"""What every manifest must keep to: rules over the rendered objects, each giving the faults it finds."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.k8s.rendering import Objects, labels, named, selects, workloads

Faults = Iterator[str]

MADE_BY_HAND = {"samx-labelling-token", "samx-service-keys"}
"""Secrets that no manifest may hold; the guide makes them."""
ALLOWED_PORTS = {53, 443, 5000}
"""Of what a pod may connect to outside its component: names, S3, the dev overlay's S3."""


def pods_are_restricted(objects: Objects) -> Faults:
    """Pod Security Standards, level restricted."""
    for where, _, pod in workloads(objects):
        security = pod.get("securityContext", {})
        expected = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        yield from (f"{where}: {key} is not {value}" for key, value in expected.items() if security.get(key) != value)
        for key in ("runAsUser", "runAsGroup", "fsGroup"):
            if not security.get(key):
                yield f"{where}: {key} is not set, or root"
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(key):
                yield f"{where}: {key}"
        for volume in pod.get("volumes", []):
            kinds = set(volume) - {"name"}
            if not kinds <= {"configMap", "secret", "emptyDir"}:
                yield f"{where}: volume {volume['name']} is {kinds}"


def containers_are_restricted(objects: Objects) -> Faults:
    """The same for containers, and a root file system that cannot be written to."""
    for where, _, pod in workloads(objects):
        for container in _containers(pod):
            own = container.get("securityContext", {})
            wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
            yield from (f"{where}: {key} is not {value}" for key, value in wanted.items() if own.get(key) is not value)
            if own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{where}: capabilities are not dropped"
            if own.get("privileged") or own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
                yield f"{where}: the container takes back what its pod gave up"


def namespaces_enforce_it(objects: Objects) -> Faults:
    """The namespace refuses what is not restricted, and holds everything."""
    spaces = named(objects, "Namespace")
    for name, space in spaces.items():
        if space["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"Namespace/{name}: does not enforce `restricted`"
    for one in objects:
        if one["kind"] != "Namespace" and one["metadata"].get("namespace") not in spaces:
            yield f"{one['kind']}/{one['metadata']['name']}: in no namespace of these manifests"


def no_token_of_the_cluster(objects: Objects) -> Faults:
    """No pod can speak to the API server; a role of the cloud is bound to a service account without a token."""
    accounts = named(objects, "ServiceAccount")
    for name, account in accounts.items():
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount/{name}: mounts its token"
    for where, _, pod in workloads(objects):
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{where}: mounts a service account's token"
        if pod.get("enableServiceLinks") is not False:
            yield f"{where}: is told of every Service by variables"
        account_name = pod.get("serviceAccountName")
        if account_name not in accounts and where.split("/")[1].startswith("samx-"):
            yield f"{where}: runs as {account_name}, which is not there"
    for one in objects:
        if one["kind"] in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"):
            yield f"{one['kind']}/{one['metadata']['name']}: nobody here needs the API server"


def resources_are_bounded(objects: Objects) -> Faults:
    """Requests, a limit of memory equal to its request, and a size for everything that can be written to."""
    for where, _, pod in workloads(objects):
        for container in _containers(pod):
            requests, limits = (container.get("resources", {}).get(key, {}) for key in ("requests", "limits"))
            if not {"cpu", "memory"} <= requests.keys():
                yield f"{where}: requests are not those of cpu and memory"
            if not requests.get("memory") == limits.get("memory") is not None:
                yield f"{where}: the limit of memory is not its request"
            gpus = "nvidia.com/gpu"
            if requests.get(gpus) != limits.get(gpus):
                yield f"{where}: GPUs asked for and allowed differ"
        for volume in pod.get("volumes", []):
            if "emptyDir" in volume and not volume["emptyDir"].get("sizeLimit"):
                yield f"{where}: emptyDir {volume['name']} has no sizeLimit"


def home_is_writable(objects: Objects) -> Faults:
    """The root is read-only: HOME and /tmp are a mount of their own, all else is mounted read-only."""
    for where, _, pod in workloads(objects):
        scratch = {volume["name"] for volume in pod.get("volumes", []) if "emptyDir" in volume}
        for container in _containers(pod):
            mounts = container.get("volumeMounts", [])
            writable = {mount["mountPath"] for mount in mounts if mount["name"] in scratch}
            environment = {entry["name"]: entry.get("value") for entry in container.get("env", [])}
            if environment.get("HOME") not in writable or "/tmp" not in writable:
                yield f"{where}: HOME or /tmp cannot be written to"
            for mount in mounts:
                if mount["name"] not in scratch and not mount.get("readOnly"):
                    yield f"{where}: {mount['mountPath']} is not mounted read-only"


def images_are_pinned(objects: Objects) -> Faults:
    """By a version or a digest, never `latest`; in production by digest."""
    in_production = "samx" in named(objects, "Namespace")
    for where, _, pod in workloads(objects):
        for container in _containers(pod):
            name, at, digest = container["image"].partition("@")
            if at:
                if not (digest.startswith("sha256:") and len(digest) == 71):
                    yield f"{where}: {container['image']} has a broken digest"
            elif in_production or ":" not in name or name.endswith(":latest"):
                yield f"{where}: {container['image']} is not pinned"


def jobs_know_the_exit_codes(objects: Objects) -> Faults:
    """2 ends the Job, 75 and disruptions do not count, all else is retried a bounded number of times."""
    for name, job in named(objects, "Job").items():
        spec, where = job["spec"], f"Job/{name}"
        pod = spec["template"]["spec"]
        if pod.get("restartPolicy") != "Never":
            yield f"{where}: podFailurePolicy wants restartPolicy Never"
        if spec.get("podReplacementPolicy") != "Failed":
            yield f"{where}: a second pod may start before the first has ended"
        if not 0 < spec.get("backoffLimit", spec.get("backoffLimitPerIndex", 0)) <= 6:
            yield f"{where}: retries are not bounded"
        actions: dict[object, str] = {}
        for rule in spec.get("podFailurePolicy", {}).get("rules", []):
            codes = rule.get("onExitCodes", {})
            if codes and codes.get("containerName") not in {one["name"] for one in pod["containers"]}:
                yield f"{where}: a rule is about no container of the pod"
            keys = codes.get("values", []) or [one["type"] for one in rule.get("onPodConditions", [])]
            actions |= dict.fromkeys(keys, rule["action"])
        expected = {2: "FailJob", 75: "Ignore", "DisruptionTarget": "Ignore"} if name != "phantoms" else {}
        if not expected.items() <= actions.items():
            yield f"{where}: podFailurePolicy does {actions}"


def indexed_jobs_agree_with_their_size(objects: Objects) -> Faults:
    """The number of parts or nodes in the command is that of the Job."""
    for name, job in named(objects, "Job").items():
        if job["spec"].get("completionMode") != "Indexed":
            continue
        (container,) = job["spec"]["template"]["spec"]["containers"]
        size = job["spec"]["completions"]
        said = [entry["value"] for entry in container["env"] if entry["name"] == "NUM_PARTS"]
        said += [word.split("=")[1] for word in container["command"] if word.startswith("--nnodes=")]
        if said != [str(size)]:
            yield f"Job/{name}: {size} completions, but the command is told {said}"
        if "--nnodes" in " ".join(container["command"]) and job["spec"]["parallelism"] != size:
            yield f"Job/{name}: its pods wait for each other, but not all may run at once"


def deployments_are_probed(objects: Objects) -> Faults:
    """Liveness and readiness, a start of its own where it is slow, ports with names that exist."""
    for name, deployment in named(objects, "Deployment").items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        ports = {port["name"] for port in container.get("ports", [])}
        wanted = ["livenessProbe", "readinessProbe"] + (["startupProbe"] if name.startswith("samx-") else [])
        for probe in wanted:
            action = container.get(probe, {})
            port = (action.get("httpGet") or action.get("tcpSocket") or {}).get("port")
            if port not in ports:
                yield f"Deployment/{name}: {probe} asks port {port} of {ports}"


def services_reach_pods(objects: Objects) -> Faults:
    """Every Service finds one workload and a port of it, every Deployment its own pods."""
    deployments = {where: one for where, one, _ in workloads(objects)}
    for where, one in deployments.items():
        if one["kind"] == "Deployment" and not selects(one["spec"]["selector"], labels(one)):
            yield f"{where}: does not select its own pods"
    for name, service in named(objects, "Service").items():
        found = [one for one in deployments.values() if service["spec"]["selector"].items() <= labels(one).items()]
        if len(found) != 1:
            yield f"Service/{name}: selects {len(found)} workloads"
            continue
        (container,) = found[0]["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            if service["spec"].get("clusterIP") != "None" and target not in {*ports, *ports.values()}:
                yield f"Service/{name}: port {target} is not one of {ports}"


def autoscalers_and_budgets_find_their_target(objects: Objects) -> Faults:
    """What scales and what keeps up a workload is about one that is there."""
    deployments = {where: one for where, one, _ in workloads(objects)}
    for name, one in named(objects, "PodDisruptionBudget").items():
        if not any(selects(one["spec"]["selector"], labels(found)) for found in deployments.values()):
            yield f"PodDisruptionBudget/{name}: selects nothing"
    for name, one in named(objects, "HorizontalPodAutoscaler", "ScaledObject").items():
        target = one["spec"]["scaleTargetRef"]["name"]
        if f"Deployment/{target}" not in deployments:
            yield f"{one['kind']}/{name}: scales {target}, which is not there"


def the_service_is_highly_available(objects: Objects) -> Faults:
    """Autoscaled, spread, kept up through drains and roll-outs, and drained before it is stopped."""
    for name, deployment in named(objects, "Deployment").items():
        if name != "samx-service":
            continue
        pod = deployment["spec"]["template"]["spec"]
        keys = {one["topologyKey"] for one in pod.get("topologySpreadConstraints", [])}
        if keys != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{name}: is spread over {keys}"
        if deployment["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield f"{name}: a roll-out takes replicas away"
        if not named(objects, "PodDisruptionBudget"):
            yield f"{name}: nothing keeps replicas up while nodes are drained"
        if len(named(objects, "HorizontalPodAutoscaler", "ScaledObject")) != 1:
            yield f"{name}: not exactly one autoscaler"


def the_service_drains(objects: Objects) -> Faults:
    """It gets no requests before it is ready nor when it stops, and takes as many threads as it has cores."""
    for name, deployment in named(objects, "Deployment").items():
        if name != "samx-service":
            continue
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        if not container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds"):
            yield f"{name}: stops before load balancers know"
        for probe, path in (("startupProbe", "/readyz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
            if container.get(probe, {}).get("httpGet", {}).get("path") != path:
                yield f"{name}: {probe} does not ask {path}"
        if container["resources"].get("limits", {}).get("cpu") is None:
            yield f"{name}: without a limit of cpu it takes as many threads as the node has cores"


def every_pod_has_a_network_policy(objects: Objects) -> Faults:
    """Every pod has one policy."""
    policies = named(objects, "NetworkPolicy")
    for where, one, _ in workloads(objects):
        found = [policy for policy in policies.values() if selects(policy["spec"]["podSelector"], labels(one))]
        if len(found) != 1:
            yield f"{where}: {len(found)} network policies"


def network_policies_are_narrow(objects: Objects) -> Faults:
    """Out to names, S3, the own component and the traces' collector only; in from those named."""
    collector, reached = _collector(objects), False
    for name, policy in named(objects, "NetworkPolicy").items():
        spec = policy["spec"]
        if set(spec.get("policyTypes", [])) != {"Ingress", "Egress"}:
            yield f"NetworkPolicy/{name}: one direction is open"
        for rule in spec.get("egress") or []:
            peers, ports = rule.get("to"), {port["port"] for port in rule.get("ports", [])}
            among_themselves = peers == [{"podSelector": spec["podSelector"]}]
            to_collector = name == "samx-service" and collector is not None and (peers, ports) == collector
            reached |= to_collector
            if not peers or not (among_themselves or to_collector or (ports and ports <= ALLOWED_PORTS)):
                yield f"NetworkPolicy/{name}: lets out to {peers}, ports {ports}"
            for peer in peers or []:
                block = peer.get("ipBlock", {})
                if block.get("cidr") == "0.0.0.0/0" and "169.254.0.0/16" not in block.get("except", []):
                    yield f"NetworkPolicy/{name}: the node's metadata, with its keys, can be reached"
        for rule in spec.get("ingress") or []:
            if not rule.get("from"):
                yield f"NetworkPolicy/{name}: lets everybody in"
    if collector is not None and not reached:
        yield "NetworkPolicy/samx-service: the collector of SAMX_TRACES_URL cannot be reached"


def _collector(objects: Objects) -> tuple[list[dict[str, Any]], set[int]] | None:
    """The peers and ports of a rule that lets the service reach `http://name.namespace:port/...`, where one is set."""
    urls = (one.get("data", {}).get("SAMX_TRACES_URL") for one in named(objects, "ConfigMap").values())
    if not (url := next(filter(None, urls), None)):
        return None
    parts = urlsplit(url)
    namespace = str(parts.hostname).split(".")[1]
    return [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}], {parts.port or 0}


def references_exist(objects: Objects) -> Faults:
    """Every ConfigMap and Secret that a pod names is there, optional, or made by hand as the guide says."""
    there = {kind: set(named(objects, kind)) for kind in ("ConfigMap", "Secret")}
    there["Secret"] |= MADE_BY_HAND
    for where, _, pod in workloads(objects):
        for kind, name, optional in _references(pod):
            if name not in there[kind] and not optional:
                yield f"{where}: {kind} {name} is not there"


def _references(pod: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for volume in pod.get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], False
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], False
    for container in _containers(pod):
        for source in container.get("envFrom", []):
            for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if key in source:
                    yield kind, source[key]["name"], source[key].get("optional", False)


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["containers"], *pod.get("initContainers", [])]


RULES: tuple[Callable[[Objects], Faults], ...] = (
    pods_are_restricted,
    containers_are_restricted,
    namespaces_enforce_it,
    no_token_of_the_cluster,
    resources_are_bounded,
    home_is_writable,
    images_are_pinned,
    jobs_know_the_exit_codes,
    indexed_jobs_agree_with_their_size,
    deployments_are_probed,
    services_reach_pods,
    autoscalers_and_budgets_find_their_target,
    the_service_is_highly_available,
    the_service_drains,
    every_pod_has_a_network_policy,
    network_policies_are_narrow,
    references_exist,
)
