"""The table that stands in for DICOM attributes: whose radiograph a PNG, JPEG or TIFF is, from where, and of whom.

Pictures carry no Patient ID, so that a split of them is by file. Where `index.attributes` names a table, every picture
has to have a row in it, and the split is by its patient; a DICOM file keeps what its own attributes say, and takes from
the table what they cannot say.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping

from samx.errors import ObjectNotFound, WrongInput
from samx.storage import open_storage

ATTRIBUTE_COLUMNS = ("key", "patient", "site", "view", "laterality", "sex", "age_group", "implant")
"""Key below the source; patient, whatever tells one from another; site as in `split.external_sites`; view in the
words of the source; laterality `L`, `R`, `B` or `U`; sex `F`, `M` or `O`; age group a decade, `40-49`, or `90+`;
implant `yes` or `no`. All but the key may be empty, and the last column may be missing."""
_OPTIONAL = ("implant",)
NOT_IN_DICOM = ("implant",)
"""What the attributes of a DICOM radiograph cannot say, so that the table may."""
_ALLOWED = {
    "laterality": r"[LRBU]?",
    "sex": r"[FMO]?",
    "age_group": r"(0-9|([1-8])0-(?:\2)9|90\+)?",
    "implant": r"(yes|no)?",
}
_INDEX_COLUMN = {"view": "view_position"}


def read_attributes(url: str) -> dict[str, dict[str, str]]:
    """The rows of a table by their key.

    Args:
        url: path or s3:// URL of a CSV file in UTF-8 with the columns of ATTRIBUTE_COLUMNS.

    Raises:
        WrongInput: there is no such file, it lacks columns, a key stands in two rows, or a value is not allowed.
        StorageError: the place is out of reach or refuses.
    """
    folder, _, name = url.rpartition("/")
    try:
        rows = list(csv.DictReader(io.StringIO(open_storage(folder or ".").read(name).decode())))
    except ObjectNotFound as error:
        raise WrongInput(f"index.attributes: there is no file {url}") from error
    except UnicodeDecodeError as error:
        raise WrongInput(f"index.attributes: {url} is not text in UTF-8") from error
    needed = [column for column in ATTRIBUTE_COLUMNS if column not in _OPTIONAL]
    missing = [column for column in needed if not rows or rows[0].get(column) is None]
    if missing:
        raise WrongInput(f"{url} lacks the columns {missing}, or has no rows; it needs {', '.join(needed)}")
    twice = [key for key, count in Counter(row["key"] for row in rows).items() if count > 1]
    if twice:
        raise WrongInput(f"{url}: {len(twice)} keys stand in more than one row, the first is {twice[0]}")
    for line, row in enumerate(rows, start=2):
        for column, allowed in _ALLOWED.items():
            if not re.fullmatch(allowed, row.get(column) or ""):
                raise WrongInput(f"{url}, line {line}: {column} is {row[column]!r}; see training/public_data.md")
    return {row["key"]: {column: row.get(column) or "" for column in ATTRIBUTE_COLUMNS} for row in rows}


def filled(row: Mapping[str, object], attributes: Mapping[str, str]) -> dict[str, object]:
    """A row of the index with what the table says of the radiograph; what it leaves empty stays as it is."""
    return dict(row) | {
        _INDEX_COLUMN.get(column, column): value for column, value in attributes.items() if value and column != "key"
    }
