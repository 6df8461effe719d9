"""The guide's commands parse, and name files, objects and fields that exist."""

import re
import shlex

import pytest

from tests.k8s.policy import MADE_BY_HAND
from tests.k8s.rendering import K8S, PROJECT, Objects, named, render

GUIDE = (K8S / "README.md").read_text()
SHORT = {
    "job": "Job",
    "jobs": "Job",
    "deployment": "Deployment",
    "deploy": "Deployment",
    "service": "Service",
    "secret": "Secret",
}


def commands() -> list[list[str]]:
    """Every command of the guide's blocks as words, without comments."""
    lines = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]
    found = []
    for line in lines:
        for part in re.split(r" \| ", line):
            words = shlex.split(part, comments=True)
            if words:
                found.append(words)
    return found


def kubectl_commands() -> list[list[str]]:
    inline = [found for found in re.findall(r"`(kubectl [^`]+)`", GUIDE) if found != "kubectl delete job"]
    return [words for words in [*commands(), *map(shlex.split, inline)] if words[0] == "kubectl" and len(words) > 2]


def options_of(words: list[str]) -> dict[str, str]:
    """Options that are followed by their value."""
    return {word: words[number + 1] for number, word in enumerate(words[:-1]) if word in ("-n", "-k", "-l")}


def objects_of(words: list[str]) -> tuple[str, Objects]:
    """The overlay a command is about, by its namespace or folder."""
    given = options_of(words)
    folder = given.get("-k", "k8s/overlays/dev" if given.get("-n") == "samx-dev" else "k8s/overlays/production")
    return folder, render(folder.removeprefix("k8s/"))


def test_there_are_commands() -> None:
    assert len(kubectl_commands()) >= 20
    assert {words[0] for words in commands()} == {"kubectl", "make", "base64"}


@pytest.mark.parametrize("words", kubectl_commands(), ids=" ".join)
def test_a_command_names_what_there_is(words: list[str]) -> None:
    folder, objects = objects_of(words)
    assert (PROJECT / folder / "kustomization.yaml").exists()
    given = options_of(words)
    if "-n" in given:
        assert given["-n"] in named(objects, "Namespace")
    if "-l" in given:
        key, _, value = given["-l"].partition("=")
        assert any(one["metadata"].get("labels", {}).get(key) == value for one in objects), given["-l"]
    for kind, name in named_objects(words):
        there = set(named(objects, kind)) | (MADE_BY_HAND if kind == "Secret" else set())
        there |= {f"samx-{component}-s3" for component in ("training", "labelling", "service", "sorting")}
        assert name in there, f"{kind} {name}"


def named_objects(words: list[str]) -> list[tuple[str, str]]:
    """Kinds and names in a command: `job/name`, `job name` or `secret generic name`."""
    found = []
    for number, word in enumerate(words):
        kind, slash, name = word.partition("/")
        if slash and kind in SHORT:
            found.append((SHORT[kind], name))
        elif word in SHORT and number + 1 < len(words) and not words[number + 1].startswith("-"):
            following = words[number + 1 :]
            found.append((SHORT[word], following[1] if following[0] == "generic" else following[0]))
    return found


def test_the_steps_apply_every_object_of_the_overlay() -> None:
    applied = {options_of(words)["-l"].partition("=")[2] for words in commands() if "apply" in words}
    there = {one["metadata"]["labels"]["app.kubernetes.io/component"] for one in render("overlays/dev")}
    assert applied == there


def test_what_is_made_by_hand_is_made_before_it_is_needed() -> None:
    lines = [" ".join(words) for words in commands()]
    for secret, component in (("samx-labelling-token", "labelling"), ("samx-service-keys", "service")):
        made = next(number for number, line in enumerate(lines) if f"create secret generic {secret} " in line)
        used = next(number for number, line in enumerate(lines) if f"component={component}" in line)
        assert made < used


def test_paths_and_folders_of_the_guide_exist() -> None:
    listed = re.findall(r"^    ((?:base|overlays|components|iam)[\w/-]*)", GUIDE, re.MULTILINE)
    assert len(listed) >= 9
    assert [path for path in listed if not (K8S / path).exists()] == []
    for path in re.findall(r"`((?:k8s|tests|training|service)/[\w./-]+)`", GUIDE):
        assert (PROJECT / path).exists(), path


def test_every_target_of_make_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    for words in commands():
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE)


def test_what_could_not_be_run_is_said() -> None:
    section = GUIDE.split("## Not tested here")[1]
    for word in ("kubelet", "GPU scheduling", "registry", "NetworkPolicies", "Kueue", "KEDA"):
        assert word in section
