"""The configuration is checked before anything starts."""

from pathlib import Path

import pytest

from samx.architecture import ArchitectureConfig
from samx.errors import WrongInput
from tests.training.small_run import small_config
from training.config import load_config

MINIMAL = 'source = "in"\nrun = "out"\n[publish]\nmodels = "models"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "training.toml"
    path.write_text(text)
    return path


def test_defaults_are_the_production_values(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))
    assert config.cluster.num_clusters == 1000
    assert config.architecture.backbone == "resnet50"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "[pretrain]\nepoch = 3\n", r"pretrain\.epoch: Extra inputs are not permitted"),
        (MINIMAL + "[cluster]\nnum_clusters = 1\n", r"cluster\.num_clusters: .*greater than or equal to 2"),
        ("run = 1", "source: Field required"),
        ("run =", "not valid TOML"),
    ],
)
def test_mistakes_are_named_by_field(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(WrongInput, match=message):
        load_config(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=r"cannot read the configuration .*none\.toml"):
        load_config(tmp_path / "none.toml")


def test_the_digest_ignores_places_but_not_settings(tmp_path: Path) -> None:
    here, there = small_config(tmp_path / "a", tmp_path), small_config(tmp_path / "b", "s3://bucket/x")
    assert here.sha256() == there.sha256()
    assert here.sha256() != small_config(tmp_path / "a", tmp_path, seed=9).sha256()


def test_the_last_stride_is_an_input_of_phase_2_alone(tmp_path: Path) -> None:
    coarse = small_config(tmp_path / "a", tmp_path)
    fine = small_config(
        tmp_path / "a", tmp_path, architecture=ArchitectureConfig(backbone="resnet18_slim", last_stride=1)
    )
    phase_1, phase_2 = ("architecture", "pretrain"), ("architecture", "finetune")
    assert fine.phase_1_architecture == coarse.phase_1_architecture == coarse.architecture
    assert fine.fields(phase_1) == coarse.fields(phase_1)
    assert fine.fields(phase_2) != coarse.fields(phase_2)
    assert fine.sha256() != coarse.sha256()


@pytest.mark.parametrize("name", ["demo", "radiographs"])
def test_shipped_configurations_are_valid(name: str) -> None:
    load_config(Path(__file__).parents[2] / f"training/{name}.toml")
