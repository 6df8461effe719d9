"""Executes rendered manifests without a cluster: what a Job controller and a kubelet do, with processes for pods.

Taken from the manifest: command, arguments, environment (with $(VARIABLES)), ConfigMaps and Secrets as variables and as
files, writable mounts, completions, parallelism, exit code policy, back-off limits, probes, preStop and grace period.
Stood in for: mounts are folders, and paths below them in the command and environment are rewritten; names of pods and
the ports that are listened on are 127.0.0.1 and free ports; the image is this checkout with this Python.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.k8s.rendering import PROJECT, Objects, find, named
from tests.service.conftest import free_port

GRACE_SECONDS = 30
"""Of a pod that does not say."""


@dataclass
class Pod:
    """A container's process."""

    process: "subprocess.Popen[bytes]"
    log: Path
    grace_seconds: float
    index: int | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    pre_stop_seconds: float = 0

    def terminate(self) -> int:
        """The preStop hook, SIGTERM, and SIGKILL when the grace period is over; returns the exit code."""
        time.sleep(self.pre_stop_seconds)
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(self.grace_seconds - self.pre_stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def kill(self) -> None:
        """End it with all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Outcome:
    """What became of a Job."""

    condition: str
    """`Complete` or `Failed`, as the Job's condition."""
    exit_codes: list[tuple[int | None, int]]
    """Index and exit code of every pod, in the order in which they ended."""
    log: str
    """What all of them wrote."""

    @property
    def codes(self) -> list[int]:
        """Exit codes alone."""
        return [code for _, code in self.exit_codes]


class Cluster:
    """Objects that have been applied, and a folder for what their pods mount and write."""

    def __init__(self, objects: Objects, folder: Path) -> None:
        self.objects, self._folder, self._num_pods = objects, folder, 0

    def set_data(self, kind: str, name: str, data: Mapping[str, str]) -> None:
        """Create a ConfigMap or Secret, or replace some of its data."""
        if name not in named(self.objects, kind):
            self.objects.append({"kind": kind, "metadata": {"name": name}, "data": {}})
        find(self.objects, kind, name)["data"].update(data)

    # ------------------------------------------------------------------------------------------------------- kubelet

    def start(self, template: dict[str, Any], *, index: int | None = None, names: Mapping[str, str]) -> Pod:
        """Start the container of a pod.

        Args:
            template: specification of the pod.
            index: of an indexed Job.
            names: what else stands for what in the command: names of pods, ports.
        """
        (container,) = template["containers"]
        self._num_pods += 1
        root = self._folder / f"pod-{self._num_pods}"
        mounts = self._mount(template, container, root)
        ports = {port["name"]: free_port() for port in container.get("ports", [])}
        listened = {str(port["containerPort"]): str(ports[port["name"]]) for port in container.get("ports", [])}
        given = self._environment(container)
        if index is not None:
            given["JOB_COMPLETION_INDEX"] = str(index)
        given = {name: _below(_expanded(value, given), mounts) for name, value in given.items()}
        words = [_expanded(word, given) for word in [*container["command"], *container.get("args", [])]]
        words = [listened.get(word, _below(word, mounts)) for word in words]
        for name, stand_in in names.items():
            words = [word.replace(name, stand_in) for word in words]
        assert words[0] == "python", "the images put it first on the PATH"
        surroundings = {  # of the image, and of a test
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            "TMPDIR": str(mounts["/tmp"]),
            "OMP_NUM_THREADS": "1",
            "NO_PROXY": "127.0.0.1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONUNBUFFERED": "1",
        }
        log = root / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *words[1:]],
                env=surroundings | given,
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        grace = template.get("terminationGracePeriodSeconds", GRACE_SECONDS)
        pre_stop = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        return Pod(process, log, grace, index, ports, pre_stop)

    def _mount(self, template: dict[str, Any], container: dict[str, Any], root: Path) -> dict[str, Path]:
        """Folders that stand for the mounts, by path in the container."""
        mounts = {}
        for mount in container["volumeMounts"]:
            (volume,) = (one for one in template["volumes"] if one["name"] == mount["name"])
            folder = root / mount["mountPath"].lstrip("/")
            folder.mkdir(parents=True)
            for name, text in self._files(volume).items():
                (folder / name).write_text(text)
            if mount.get("readOnly"):
                folder.chmod(0o555)
            mounts[mount["mountPath"]] = folder
        return mounts

    def _files(self, volume: dict[str, Any]) -> dict[str, str]:
        for key, kind, name in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
            if key in volume:
                data: dict[str, str] = find(self.objects, kind, volume[key][name])["data"]
                return data
        return {}

    def _environment(self, container: dict[str, Any]) -> dict[str, str]:
        given: dict[str, str] = {}
        for source in container.get("envFrom", []):
            for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if key in source and source[key]["name"] in named(self.objects, kind):
                    given |= find(self.objects, kind, source[key]["name"])["data"]
                elif key in source:
                    assert source[key].get("optional"), f"{kind} {source[key]['name']} is missing"
        return given | {entry["name"]: entry["value"] for entry in container.get("env", [])}

    # ------------------------------------------------------------------------------------------------ Job controller

    def run_job(self, name: str, *, watch: Callable[[list[Pod]], None] = lambda _: None) -> Outcome:
        """Run a Job to its end.

        Args:
            name: of the Job.
            watch: called again and again with the pods that run; may terminate them, as a pre-emption does.
        """
        spec = find(self.objects, "Job", name)["spec"]
        indexed = spec.get("completionMode") == "Indexed"
        waiting: list[int | None] = list(range(spec["completions"])) if indexed else [None]
        names = self._names_of_pods(name)
        running: list[Pod] = []
        failures: dict[int | None, int] = {}
        outcome = Outcome("Complete", [], "")
        try:
            while (waiting and outcome.condition == "Complete") or running:
                while waiting and outcome.condition == "Complete" and len(running) < spec.get("parallelism", 1):
                    running.append(self.start(spec["template"]["spec"], index=waiting.pop(0), names=names))
                watch(running)
                for pod in [one for one in running if one.process.poll() is not None]:
                    running.remove(pod)
                    code = pod.process.returncode
                    outcome.exit_codes.append((pod.index, code))
                    outcome.log += pod.log.read_text()
                    match _verdict(spec, failures, pod.index, code):
                        case "again":
                            waiting.append(pod.index)
                        case "end":
                            outcome.condition = "Failed"
                if outcome.condition == "Failed":
                    for pod in running:
                        pod.process.send_signal(signal.SIGTERM)
                time.sleep(0.05)
        finally:
            for pod in running:
                pod.kill()
        if failures and "backoffLimitPerIndex" in spec and max(failures.values()) > spec["backoffLimitPerIndex"]:
            outcome.condition = "Failed"
        return outcome

    def _names_of_pods(self, job: str) -> dict[str, str]:
        """What stands for the first pod's name and the port of the headless Service."""
        names = {f"{job}-0.{job}": "127.0.0.1"}
        for port in named(self.objects, "Service").get(job, {}).get("spec", {}).get("ports", []):
            names[f"port={port['port']}"] = f"port={free_port()}"
        return names

    # --------------------------------------------------------------------------------------------------- Deployment

    @contextlib.contextmanager
    def deployed(self, name: str) -> Iterator[Pod]:
        """A replica of a Deployment, started and ready as its probes say."""
        template = find(self.objects, "Deployment", name)["spec"]["template"]["spec"]
        pod = self.start(template, names={})
        try:
            (container,) = template["containers"]
            wait_for(container["startupProbe"], pod)
            for probe in ("livenessProbe", "readinessProbe"):
                assert succeeds(container[probe], pod), f"{probe} fails right after the start"
            yield pod
        finally:
            pod.kill()


def action_for(spec: dict[str, Any], code: int) -> str:
    """What a Job's podFailurePolicy does about an exit code: the first rule that fits, else it counts."""
    for rule in spec.get("podFailurePolicy", {}).get("rules", []):
        codes = rule.get("onExitCodes")
        if codes and (code in codes["values"]) == (codes["operator"] == "In"):
            return str(rule["action"])
    return "Count"


def _verdict(spec: dict[str, Any], failures: dict[int | None, int], index: int | None, code: int) -> str:
    """`done`, `again`, `given up` (this index; the others go on) or `end` (the Job)."""
    action = "" if code == 0 else action_for(spec, code)
    if action == "Count":
        failures[index] = failures.get(index, 0) + 1
        if failures[index] > spec.get("backoffLimitPerIndex", failures[index]):
            return "given up"
        if "backoffLimitPerIndex" not in spec and sum(failures.values()) > spec["backoffLimit"]:
            return "end"
    return {"": "done", "FailJob": "end"}.get(action, "again")


def succeeds(probe: dict[str, Any], pod: Pod) -> bool:
    """One httpGet of a probe, as the kubelet judges it."""
    asked = probe["httpGet"]
    try:
        url = f"http://127.0.0.1:{pod.ports[asked['port']]}{asked['path']}"
        return 200 <= httpx.get(url, timeout=probe.get("timeoutSeconds", 1), trust_env=False).status_code < 400
    except httpx.TransportError:
        return False


def wait_for(probe: dict[str, Any], pod: Pod) -> None:
    """Wait for a startup probe, no longer than the kubelet would.

    Raises:
        AssertionError: the container ended, or would have been killed.
    """
    deadline = time.monotonic() + probe["periodSeconds"] * probe["failureThreshold"]
    while not succeeds(probe, pod):
        assert pod.process.poll() is None, pod.log.read_text()
        assert time.monotonic() < deadline, pod.log.read_text()
        time.sleep(0.2)


def _expanded(text: str, given: Mapping[str, str]) -> str:
    """$(NAME) as Kubernetes expands it; what is not known stays as it is."""
    return re.sub(r"\$\((\w+)\)", lambda found: given.get(found[1], found[0]), text)


def _below(text: str, mounts: Mapping[str, Path]) -> str:
    """A path in the container as one here; all else as it is."""
    for path, folder in mounts.items():
        if text == path or text.startswith(f"{path}/"):
            return str(folder) + text.removeprefix(path)
    return text
