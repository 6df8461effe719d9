"""What the indexers of public data sets share: the files of a data set, and what is known of each radiograph."""

import csv
import io
from dataclasses import dataclass

from samx.errors import WrongInput
from samx.storage import Storage, open_storage


@dataclass(frozen=True, slots=True)
class PublicRadiograph:
    """One radiograph of a public data set; "" where the data set does not say."""

    key: str
    """Below the folder of the data set."""
    label: str
    """"" where the data set names no single entity: such a radiograph is in the run, but has no truth."""
    patient: str = ""
    view: str = ""
    """`frontal`, `lateral` or `oblique`."""
    laterality: str = ""
    """`L` or `R`."""
    sex: str = ""
    """`F` or `M`."""
    age_group: str = ""
    """A decade of years, as in the index."""
    implant: str = ""
    """`yes` or `no`."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a data set."""

    storage: Storage
    keys: tuple[str, ...]
    """Sorted; hidden files are left out, such as the `._image1.png` that macOS leaves in archives."""

    def table(self, key: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
        """Rows of a CSV file of the data set.

        Raises:
            WrongInput: there is no such file, or it lacks a column.
        """
        if key not in self.keys:
            raise self.wrong_layout(f"the table {key}")
        rows = list(csv.DictReader(io.StringIO(self.storage.read(key).decode("utf-8-sig"))))
        found = list(rows[0]) if rows else []
        missing = sorted(set(columns) - set(found))
        if missing:
            raise WrongInput(f"{key} in {self.storage.url} lacks the columns {missing}; it has {found}")
        return rows

    def wrong_layout(self, looked_for: str) -> WrongInput:
        """The error for a folder that is laid out otherwise: what was looked for, and what was found."""
        found = sorted({key.partition("/")[0] for key in self.keys})
        seen = ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
        return WrongInput(f"{self.storage.url}: looked for {looked_for}; found {seen or 'no files'}")


def open_tree(url: str) -> Tree:
    """List the folder or s3:// URL of a data set.

    Raises:
        StorageError: it is out of reach or refuses.
    """
    storage = open_storage(url)
    keys = (item.key for item in storage.list())
    return Tree(storage, tuple(key for key in keys if not key.rpartition("/")[2].startswith(".")))


def require_single(names: list[str], what: str) -> None:
    """Refuse a table in which something stands twice.

    Raises:
        WrongInput: a name is there more than once.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise WrongInput(f"{what} {name} is there more than once")
        seen.add(name)
