"""A row of the manifest: what is known of one object, in the order of the columns."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass

from samx.storage import StoredObject


@dataclass(frozen=True, slots=True)
class Row:
    """One object of the source. Text is "" and a number None where it does not apply."""

    key: str
    size_bytes: int
    etag: str
    version_id: str = ""
    sha256: str = ""
    """Of the bytes that were read; "" where they could not be."""
    format: str = ""
    """dicom, png, jpeg or tiff."""
    rows: int | None = None
    columns: int | None = None
    sop_instance_uid: str = ""
    decision: str = ""
    """accept, review, out_of_scope or unreadable."""
    label: str = ""
    """Most probable class."""
    probability: float | None = None
    second_label: str = ""
    second_probability: float | None = None
    out_of_scope_score: float | None = None
    tag_body_part_examined: str = ""
    """Body Part Examined (0018,0015) where it is a known term."""
    tag_agrees: bool | None = None
    laterality: str = ""
    """L or R, where the file says so."""
    answered_view: str = ""
    """Most probable view, where the model has learned views."""
    answered_view_probability: float | None = None
    answered_laterality: str = ""
    """Most probable side by the picture, where the model has learned it and the label has sides."""
    answered_laterality_probability: float | None = None
    model: str = ""
    """Name and version."""
    code: str = ""
    """Why it is unreadable: a code of samx.radiograph or of samx.errors."""
    detail: str = ""
    copied_to: str = ""
    """Key below the destination."""
    dicom_copied_to: str = ""
    copy_code: str = ""
    """Why there is no copy."""

    @property
    def stored_object(self) -> StoredObject:
        """The object this row is about."""
        return StoredObject(self.key, self.size_bytes, self.etag, self.version_id)

    @property
    def folder(self) -> str:
        """Folder of the destination that a copy belongs in."""
        match self.decision:
            case "accept":
                return self.label
            case "review":
                return f"_review/{self.label}"
            case _:
                return f"_{self.decision}"


COLUMNS: dict[str, type] = {
    field.name: next(kind for kind in (bool, int, float, str) if str(kind.__name__) in str(field.type))
    for field in dataclasses.fields(Row)
}
"""Name and type of every column, in order."""


def encode_rows(rows: Iterable[Row]) -> bytes:
    """JSON, one row a line; the same rows give the same bytes."""
    return "".join(
        json.dumps(dataclasses.asdict(row), separators=(",", ":"), allow_nan=False) + "\n" for row in rows
    ).encode()


def decode_rows(data: bytes) -> list[Row]:
    """The inverse of `encode_rows`."""
    return [Row(**json.loads(line)) for line in data.splitlines()]
