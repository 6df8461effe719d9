"""What a folder and a bucket have in common: the interface, and the keys that are allowed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

RESERVED = ".samx-"
"""How the names of temporaries and locks begin."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One entry of a listing."""

    key: str
    """Relative to the storage's URL."""
    size_bytes: int
    etag: str
    """Opaque; another value means other content."""
    version_id: str = ""
    """Of a bucket that keeps versions, where they were asked for."""


class Storage(Protocol):
    """A folder, or a prefix of a bucket. Methods raise StorageError where the place is out of reach or refuses."""

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`, or the absolute path of a folder."""

    def list(self, prefix: str = "", *, after: str = "", versions: bool = False) -> Iterator[StoredObject]:
        """Yields what has a key that starts with `prefix`, sorted by key; an empty or missing place yields nothing.

        Args:
            prefix: start of the keys.
            after: keys up to this one, itself included, are left out.
            versions: with the current version's identifier, where the place keeps versions.
        """

    def read(self, key: str) -> bytes:
        """Returns an object's bytes. Raises: ObjectNotFound."""

    def read_with_etag(self, key: str) -> tuple[bytes, str]:
        """Returns an object's bytes and the etag of just these, for `write(if_match=...)`. Raises: ObjectNotFound."""

    def read_listed(self, item: StoredObject, start: int = 0, stop: int | None = None) -> bytes:
        """Returns bytes `start` to `stop` of just what was listed: this version, or this etag.

        Raises:
            ObjectNotFound: it is gone.
            PreconditionFailed: it was replaced.
        """

    def exists(self, key: str) -> bool:
        """Tells whether there is an object under this key."""

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Stores `data` under `key`, whole or not at all, and returns its etag.

        Args:
            key: where; folders on the way are made.
            data: the object's bytes.
            if_absent: only if there is no object yet; of several writers one wins.
            if_match: only if the object still has this etag.

        Raises:
            PreconditionFailed: `if_absent` found an object, or `if_match` found none or another one.
            ValueError: the key is not allowed, or both conditions were asked for.
        """

    def write_file(self, key: str, file: BinaryIO) -> None:
        """Stores what `file` holds from its position on, in parts where it is large; replaces what is there."""

    def copy(self, key: str, destination_key: str) -> None:
        """Copies within this storage, on S3 without a download. Raises: ObjectNotFound."""

    def copy_listed(self, source: "Storage", item: StoredObject, destination_key: str) -> None:
        """Copies just what was listed in another storage to here, from bucket to bucket without a download.

        Raises:
            ObjectNotFound: it is gone.
            PreconditionFailed: it was replaced.
        """

    def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """Replaces an object's tags. Raises: StorageError in a folder, which has none."""

    def delete(self, key: str) -> None:
        """Removes an object; a missing one is fine."""

    def child(self, prefix: str) -> "Storage":
        """Returns the storage at `<url>/<prefix>`."""


def checked(key: str) -> str:
    """Returns a key that is safe to write under. Raises ValueError for any other."""
    for part in key.split("/"):
        if part in ("", ".", "..") or "\0" in part:
            raise ValueError(f"key {key!r}: allowed are relative ones like a/b/c, without empty, '.' and '..' parts")
        if part.startswith(RESERVED):
            raise ValueError(f"key {key!r}: names that start with {RESERVED} are reserved")
    return key


def check_conditions(if_absent: bool, if_match: str | None) -> None:
    """Raises ValueError where a write asks for both conditions."""
    if if_absent and if_match is not None:
        raise ValueError("if_absent and if_match exclude each other")
