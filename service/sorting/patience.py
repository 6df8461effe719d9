"""A storage that is asked again, with back-off, while it is throttled, reset or failing inside."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, TypeVar

from samx.errors import ObjectNotFound, PreconditionFailed, StorageUnavailable
from samx.storage import Storage, StoredObject

ATTEMPTS = 9
"""boto3 makes four of its own within each, so 5 % of failing calls never reach the ninth."""
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 10.0
RANGE_BYTES = 16 * 1024**2
"""Larger objects are read in ranges: a reset costs one of them, not the whole object."""

_Answer = TypeVar("_Answer")


def patiently(attempt: Callable[[], _Answer]) -> _Answer:
    """Returns what `attempt` returns, which is called again where the storage may answer later.

    Raises:
        StorageUnavailable: of the last attempt; other errors pass at once.
    """
    wait_seconds = FIRST_WAIT_SECONDS
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except StorageUnavailable:
            time.sleep(wait_seconds * random.uniform(0.5, 1.5))  # noqa: S311  # spreads clients, hides nothing
            wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)
    return attempt()


@dataclass(frozen=True, slots=True)
class PatientStorage:
    """What a sort does with a storage, patiently; errors are those of `samx.storage.Storage`."""

    plain: Storage

    @property
    def url(self) -> str:
        """See Storage."""
        return self.plain.url

    def child(self, prefix: str) -> "PatientStorage":
        """See Storage."""
        return PatientStorage(self.plain.child(prefix))

    def list(self, prefix: str = "", *, after: str = "", versions: bool = False) -> Iterator[StoredObject]:
        """See Storage. Goes on behind the last key where a listing breaks off."""
        num_failures = 0
        while True:
            try:
                for item in self.plain.list(prefix, after=after, versions=versions):
                    yield item
                    after, num_failures = item.key, 0
            except StorageUnavailable:
                num_failures += 1
                if num_failures == ATTEMPTS:
                    raise
                time.sleep(min(FIRST_WAIT_SECONDS * 2**num_failures, LONGEST_WAIT_SECONDS))
            else:
                return

    def read(self, key: str) -> bytes:
        """See Storage."""
        return patiently(lambda: self.plain.read(key))

    def read_with_etag(self, key: str) -> tuple[bytes, str]:
        """See Storage."""
        return patiently(lambda: self.plain.read_with_etag(key))

    def read_listed(self, item: StoredObject) -> bytes:
        """See Storage. A large object is read range by range."""
        if item.size_bytes <= RANGE_BYTES:
            return patiently(lambda: self.plain.read_listed(item))
        buffer = BytesIO()  # its value is handed out without another copy
        for start in range(0, item.size_bytes, RANGE_BYTES):
            stop = min(start + RANGE_BYTES, item.size_bytes)
            buffer.write(patiently(lambda: self.plain.read_listed(item, start, stop)))  # noqa: B023  # called at once
        return buffer.getvalue()

    def exists(self, key: str) -> bool:
        """See Storage."""
        return patiently(lambda: self.plain.exists(key))

    def write(self, key: str, data: bytes, *, if_match: str | None = None) -> str:
        """See Storage."""
        return patiently(lambda: self.plain.write(key, data, if_match=if_match))

    def write_once(self, key: str, data: bytes) -> bytes:
        """Stores `data` unless something is there, and returns what is there now: of several writers one wins."""
        for _ in range(ATTEMPTS):
            try:
                patiently(lambda: self.plain.write(key, data, if_absent=True))
            except PreconditionFailed:  # also where the answer to our own write was lost
                try:
                    return self.read(key)
                except ObjectNotFound:  # two writers at once can both be told of a conflict (HTTP 409)
                    time.sleep(FIRST_WAIT_SECONDS)
            else:
                return data
        raise StorageUnavailable(f"{self.url}: {key} can be neither created nor read")

    def write_file(self, key: str, file: BinaryIO) -> None:
        """See Storage."""

        def attempt() -> None:
            file.seek(0)
            self.plain.write_file(key, file)

        patiently(attempt)

    def copy_listed(self, source: "PatientStorage", item: StoredObject, destination_key: str) -> None:
        """See Storage."""
        patiently(lambda: self.plain.copy_listed(source.plain, item, destination_key))

    def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """See Storage."""
        patiently(lambda: self.plain.set_tags(key, tags))

    def delete(self, key: str) -> None:
        """See Storage."""
        patiently(lambda: self.plain.delete(key))
