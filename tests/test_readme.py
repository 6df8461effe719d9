"""The README's file tree is that of the repository."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def tree() -> set[str]:
    """Paths of the README's tree."""
    section = (ROOT / "README.md").read_text().split("## Tree")[1].split("##")[0]
    paths, folder = set(), ""
    for line in section.splitlines():
        if match := re.match(r"    (  )?(\S+)", line):
            folder = folder if match[1] else (match[2] if match[2].endswith("/") else "")
            paths.add(f"{folder}{match[2]}" if match[1] else match[2])
    return paths


def test_every_path_of_the_tree_exists() -> None:
    assert [path for path in sorted(tree()) if not (ROOT / path).exists()] == []


def test_every_module_is_in_the_tree() -> None:
    modules = {
        str(path.relative_to(ROOT))
        for package in ("samx", "training", "service")
        for path in (ROOT / package).glob("*.py")
        if not path.name.startswith("__")
    }
    assert modules - tree() == set()


def test_pictures_and_links_exist() -> None:
    text = (ROOT / "README.md").read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
