"""A classifier from its artifact: the same answers as when it was published, or a reason why not."""

import base64
import functools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from samx.classifier import load_classifier
from samx.errors import ArtifactCorrupt, ArtifactError
from samx.golden import GOLDEN_TOLERANCE, make_golden
from samx.manifest import GOLDEN, MANIFEST, WEIGHTS
from samx.storage import open_storage
from samx.torch_engine import torch_classifier
from tests.samx.test_classifier import noise, probabilities, scores
from tests.small_artifact import NAME, VERSION, republish, small_spec, small_tensors, synthetic_png


def test_an_artifact_answers_as_the_classifier_that_was_published(small_artifact: Path) -> None:
    published = torch_classifier(small_spec(), small_tensors(small_spec()))
    for place in (small_artifact, small_artifact / VERSION, str(small_artifact)):
        loaded, manifest = load_classifier(place)
        assert (manifest.name, manifest.version) == (NAME, VERSION)
        assert loaded.spec == small_spec()
        np.testing.assert_array_equal(
            probabilities(loaded.classify(noise(3))), probabilities(published.classify(noise(3)))
        )


def test_an_artifact_is_loaded_from_s3(small_artifact: Path, s3_url: str) -> None:
    local, remote = open_storage(small_artifact), open_storage(s3_url)
    for stored in local.list():
        remote.write(f"small/{stored.key}", local.read(stored.key))
    loaded, manifest = load_classifier(f"{s3_url}/small")
    assert manifest.version == VERSION
    expected = load_classifier(small_artifact)[0].classify(noise(2))
    np.testing.assert_array_equal(probabilities(loaded.classify(noise(2))), probabilities(expected))


def test_where_nothing_is_published_nothing_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no artifact in .*absent"):
        load_classifier(tmp_path / "absent")


@pytest.fixture
def republished(small_artifact: Path, tmp_path: Path) -> Callable[..., Path]:
    """Publishes the small artifact with other files, so that all checksums are right."""
    return functools.partial(republish, small_artifact, tmp_path)


@pytest.mark.parametrize("file", [WEIGHTS, GOLDEN, MANIFEST, "metrics.json"])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_one_changed_byte_is_not_loaded(republished: Callable[..., Path], file: str, place: float) -> None:
    path = republished() / file
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactCorrupt, match="checksum"):
        load_classifier(path.parent)


def golden_with(small_artifact: Path, change: Callable[[list[dict[str, object]]], object]) -> bytes:
    entries = json.loads((small_artifact / VERSION / GOLDEN).read_bytes())
    change(entries)
    return json.dumps(entries).encode()


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_golden_probability_beyond_the_tolerance_refuses_the_artifact(
    small_artifact: Path, republished: Callable[..., Path], index: int, sign: int
) -> None:
    def change(entries: list[dict[str, list[float]]]) -> None:
        entries[index]["probabilities"][2] += sign * 1.5 * GOLDEN_TOLERANCE["fp32"]

    with pytest.raises(ArtifactCorrupt, match=rf"golden radiograph {index} of small 2 differs by 0\.0030.*torch"):
        load_classifier(republished(golden=golden_with(small_artifact, change)))  # type: ignore[arg-type]


def test_a_golden_probability_within_the_tolerance_is_accepted(
    small_artifact: Path, republished: Callable[..., Path]
) -> None:
    def change(entries: list[dict[str, list[float]]]) -> None:
        entries[0]["probabilities"][2] += 0.5 * GOLDEN_TOLERANCE["fp32"]

    folder = republished(golden=golden_with(small_artifact, change))  # type: ignore[arg-type]
    assert load_classifier(folder)[1].version == "2"


def test_other_weights_than_the_golden_answers_came_from_are_refused(republished: Callable[..., Path]) -> None:
    other = small_tensors(small_spec(), seed=1)
    with pytest.raises(ArtifactCorrupt, match="golden radiograph 0"):
        load_classifier(republished(weights=safetensors.torch.save(other)))


def test_weights_that_are_not_numbers_are_refused(republished: Callable[..., Path]) -> None:
    tensors = small_tensors(small_spec())
    tensors["head.weight"] = torch.full_like(tensors["head.weight"], math.nan)
    with pytest.raises(ArtifactCorrupt, match="differs by nan"):
        load_classifier(republished(weights=safetensors.torch.save(tensors)))
    with pytest.raises(ValueError, match="JSON"):
        make_golden(torch_classifier(small_spec(), tensors), [synthetic_png()])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entries: entries.clear(), "holds no radiograph"),
        (lambda entries: entries[1].update(probabilities=[math.nan] * 4), "golden radiograph 1 .* differs by nan"),
        (lambda entries: entries[1].update(probabilities=[0.25]), "golden radiograph 1 .* has 1 probabilities"),
        (lambda entries: entries[0].update(probabilities=["a"]), "not a list of radiographs"),
        (lambda entries: entries[0].pop("radiograph"), "not a list of radiographs"),
        (lambda entries: entries.append(3), "not a list of radiographs"),
        (
            lambda entries: entries[0].update(radiograph=base64.b64encode(b"x" * 300).decode()),
            "golden radiograph 0 .* cannot be read",
        ),
    ],
)
def test_golden_answers_that_prove_nothing_are_refused(
    small_artifact: Path,
    republished: Callable[..., Path],
    change: Callable[[list[dict[str, object]]], object],
    message: str,
) -> None:
    with pytest.raises(ArtifactCorrupt, match=message):
        load_classifier(republished(golden=golden_with(small_artifact, change)))


def without(key: str) -> bytes:
    return safetensors.torch.save({name: t for name, t in small_tensors(small_spec()).items() if name != key})


def with_one_more() -> bytes:
    return safetensors.torch.save({**small_tensors(small_spec()), "backbone.extra": torch.zeros(1)})


def for_three_classes() -> bytes:
    spec = small_spec()
    return safetensors.torch.save(small_tensors(spec.model_copy(update={"classes": spec.classes[:3]})))


@pytest.mark.parametrize(
    "weights",
    [
        lambda: b"",
        lambda: without("scope.means_KD")[:-1],
        lambda: without("scope.means_KD"),
        lambda: without("head.bias"),
        with_one_more,
        for_three_classes,
    ],
)
def test_weights_that_do_not_fit_are_refused(republished: Callable[..., Path], weights: Callable[[], bytes]) -> None:
    with pytest.raises(ArtifactCorrupt, match=rf"{WEIGHTS} of small 2 cannot be used"):
        load_classifier(republished(weights=weights()))


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_pickle_for_weights_is_refused_and_not_run(republished: Callable[..., Path], tmp_path: Path) -> None:
    torch.save(_Trap(tmp_path / "sprung"), tmp_path / "weights.pt")
    pickled = (tmp_path / "weights.pt").read_bytes()
    with pytest.raises(ArtifactCorrupt, match="cannot be used"):
        load_classifier(republished(weights=pickled))
    assert not (tmp_path / "sprung").exists()
    torch.load(tmp_path / "weights.pt", weights_only=False)
    assert (tmp_path / "sprung").exists(), "the trap works where pickles are loaded"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_answers_of_the_cpu(small_artifact: Path) -> None:
    on_cpu = load_classifier(small_artifact)[0].classify(noise(8), grad_cam=True)
    on_gpu = load_classifier(small_artifact, device="cuda")[0].classify(noise(8), grad_cam=True)
    np.testing.assert_allclose(probabilities(on_gpu), probabilities(on_cpu), atol=GOLDEN_TOLERANCE["fp32"])
    np.testing.assert_allclose(scores(on_gpu), scores(on_cpu), rtol=1e-2)
