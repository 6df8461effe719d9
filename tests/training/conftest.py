"""Fixtures of the training tests."""

from pathlib import Path

import pytest

from samx.phantom import export_phantom


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty small synthetic radiographs with their truth, and what an export also holds; never write into it."""
    folder = tmp_path_factory.mktemp("export")
    export_phantom(folder, num_radiographs=60, seed=5, size=96, workers=1)
    first = sorted((folder / "radiographs").rglob("*.dcm"))[0]
    (folder / "radiographs" / "again.dcm").write_bytes(first.read_bytes())
    (folder / "radiographs" / "cut.dcm").write_bytes(first.read_bytes()[:2000])
    (folder / "radiographs" / "notes.txt").write_text("no radiograph")
    return folder
