"""GRAZPEDWRI-DX: wrists of children, Graz. Pictures in `images_part1` to `4`, everything else in `dataset.csv`."""

import re

from training.public_data.tree import PublicRadiograph, Tree, require_single
from training.source_reading import age_group

SITE = "GRAZPEDWRI-DX"
_COLUMNS = ("filestem", "patient_id", "gender", "age", "laterality", "projection")
_PICTURE = re.compile(r"(?:.+/)?images[^/]*/([^/]+)\.png")
_VIEWS = {"1": "frontal", "2": "lateral"}


def radiographs(tree: Tree) -> list[PublicRadiograph]:
    """Every picture that the table names and that is there; some of the four parts may be missing.

    Raises:
        WrongInput: there is no table, it lacks columns, a radiograph is in it or in the folders twice, or no picture
            of it is there.
    """
    rows = tree.table("dataset.csv", _COLUMNS)
    require_single([row["filestem"] for row in rows], "dataset.csv: filestem")
    pictures = [(match[1], key) for key in tree.keys if (match := _PICTURE.fullmatch(key)) is not None]
    require_single([stem for stem, _ in pictures], "images*/: a picture of the filestem")
    keys = dict(pictures)
    found = [_radiograph(keys[row["filestem"]], row) for row in rows if row["filestem"] in keys]
    if not found:
        raise tree.wrong_layout(f"images_part1/ to images_part4/ with {rows[0]['filestem']}.png and the like")
    return found


def _radiograph(key: str, row: dict[str, str]) -> PublicRadiograph:
    return PublicRadiograph(
        key,
        "wrist",
        patient=row["patient_id"],
        view=_VIEWS.get(row["projection"].removesuffix(".0"), ""),
        laterality=row["laterality"] if row["laterality"] in ("L", "R") else "",
        sex=row["gender"] if row["gender"] in ("F", "M") else "",
        age_group=_decade(row["age"]),
    )


def _decade(years: str) -> str:
    """The decade of an age in years, `14.1`."""
    whole = re.fullmatch(r"(\d{1,3})(\.\d*)?", years)
    return age_group(f"{int(whole[1]):03d}Y") if whole else ""
