"""FracAtlas: hand, leg, hip and shoulder from three hospitals in Bangladesh. All is in `dataset.csv`, save patients."""

from training.public_data.tree import PublicRadiograph, Tree, require_single

SITE = "FracAtlas"
_REGIONS = ("hand", "leg", "hip", "shoulder")
_VIEWS = ("frontal", "lateral", "oblique")
_COLUMNS = ("image_id", *_REGIONS, "mixed", "fractured", *_VIEWS)


def radiographs(tree: Tree) -> list[PublicRadiograph]:
    """Every picture that the table names and that is there.

    A radiograph of one region bears its name; of several, or marked as mixed, none. Several views of one region in one
    picture have no view.

    Raises:
        WrongInput: there is no table, it lacks columns or names a picture twice, or none of its pictures is there.
    """
    rows = tree.table("dataset.csv", _COLUMNS)
    require_single([row["image_id"] for row in rows], "dataset.csv: image_id")
    there = set(tree.keys)
    found = []
    for row in rows:
        folder = "Fractured" if row["fractured"] == "1" else "Non_fractured"
        key = f"images/{folder}/{row['image_id']}"
        if key in there:
            label = "" if row["mixed"] == "1" else _only(row, _REGIONS)
            implant = {"1": "yes", "0": "no"}.get(row.get("hardware", ""), "")
            found.append(PublicRadiograph(key, label, view=_only(row, _VIEWS), implant=implant))
    if not found:
        raise tree.wrong_layout(f"images/Fractured/ and images/Non_fractured/ with {rows[0]['image_id']} and the like")
    return found


def _only(row: dict[str, str], columns: tuple[str, ...]) -> str:
    """The one column that is marked; "" where it is none or several."""
    marked = [column for column in columns if row[column] == "1"]
    return marked[0] if len(marked) == 1 else ""
