"""The commands of training/public_data.md, run as they stand there on small trees, and what else it names."""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.training.public_data import trees
from training.__main__ import main
from training.attributes_table import ATTRIBUTE_COLUMNS
from training.config import load_config
from training.public_data.command import DATA_SETS

GUIDE = (Path(__file__).parents[3] / "training/public_data.md").read_text()
BLOCKS = [
    [shlex.split(line) for line in block.splitlines()] for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
]
TREES: Mapping[str, Callable[[Path], Path]] = {
    "data/MURA-v1.1": trees.mura,
    "data/FracAtlas": lambda folder: trees.fracatlas(folder, [{"image_id": "IMG0000001.jpg", "hip": 1}]),
    "data/GRAZPEDWRI-DX": trees.grazpedwri,
    "data/sorted": lambda folder: trees.fill(folder, ["knee/P1/a.png", "foot/b.png"]),
}


def test_every_data_set_has_a_command_and_every_block_ends_in_a_run() -> None:
    assert {words[4] for block in BLOCKS for words in block if words[3] == "public"} == DATA_SETS.keys()
    for block in BLOCKS:
        assert all(words[:3] == ["python", "-m", "training"] for words in block)
        assert block[-1][3:5] == ["run", "--config"] and all(words[3] == "public" for words in block[:-1])


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: " ".join(block[-1]))
def test_the_commands_make_the_configuration_that_is_run(
    block: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, make in TREES.items():
        make(tmp_path / place)
    monkeypatch.chdir(tmp_path)
    for words in block[:-1]:
        assert main(words[3:]) == 0
    config = load_config(Path(block[-1][5]))
    assert main(["index", "--config", block[-1][5]]) == 0
    assert (Path(config.run) / "index/index.csv").exists()
    assert config.label.simulated_reader is not None and Path(config.label.simulated_reader.truth).exists()


def test_columns_and_files_that_the_guide_names_exist() -> None:
    section = GUIDE.split("## The table")[1].split("##")[0]
    assert [column for column in ATTRIBUTE_COLUMNS if f"`{column}`" not in section] == []
    assert all(f"`{column}`" in GUIDE for column in trees.FRACATLAS_COLUMNS[:6])


def test_each_data_set_has_its_address_its_licence_and_its_layout() -> None:
    for name in ("MURA", "FracAtlas", "GRAZPEDWRI-DX"):
        section = GUIDE.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for word in ("<https://", "Licence: ", "- Layout: ", "- Truth: ", "atient: ", "Site: "):
            assert word in section, (name, word)
    assert "downloaded" in GUIDE.split("## Not checked")[1]
