"""A local folder as a storage: writes under temporary names, hard links and locks decide races."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from samx.errors import ObjectNotFound, PreconditionFailed, StorageError
from samx.storage.place import RESERVED, Storage, StoredObject, check_conditions, checked


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """A folder. Links to files are followed; links to folders are not, as they could go round in circles."""

    folder: Path

    @property
    def url(self) -> str:
        """See Storage."""
        return str(self.folder)

    def list(self, prefix: str = "", *, after: str = "", versions: bool = False) -> Iterator[StoredObject]:  # noqa: ARG002
        """See Storage. A folder keeps no versions."""
        parent = prefix.rpartition("/")[0]
        start = self.folder / checked(parent) if parent else self.folder
        with self._translated(prefix):
            yield from (found for found in _walk(start, f"{parent}/" if parent else "", prefix) if found.key > after)

    def read(self, key: str) -> bytes:
        """See Storage."""
        return self.read_with_etag(key)[0]

    def read_with_etag(self, key: str) -> tuple[bytes, str]:
        """See Storage."""
        with self._translated(key), self._path(key).open("rb") as file:
            return file.read(), _etag(os.fstat(file.fileno()))

    def read_listed(self, item: StoredObject, start: int = 0, stop: int | None = None) -> bytes:
        """See Storage."""
        with self._translated(item.key), self._path(item.key).open("rb") as file:
            file.seek(start)
            data = file.read(-1 if stop is None else stop - start)
            if _etag(os.fstat(file.fileno())) != item.etag:
                raise PreconditionFailed(f"{self.url}: {item.key} is no longer what it was when it was listed")
        return data

    def exists(self, key: str) -> bool:
        """See Storage."""
        with self._translated(key):
            return self._path(key).is_file()

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """See Storage."""
        check_conditions(if_absent, if_match)
        path = self._path(key)
        with self._translated(key), _temporary(path) as temporary:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if if_absent:
                etag = _etag(temporary.stat())
                try:
                    os.link(temporary, path)
                except FileExistsError:
                    raise PreconditionFailed(f"{self.url}: {key} exists already") from None
                return etag
            if if_match is None:
                return _replace(temporary, path)
            with _locked(path.parent):
                if not path.is_file() or _etag(path.stat()) != if_match:
                    raise PreconditionFailed(f"{self.url}: {key} is no longer what it was when it was read")
                return _replace(temporary, path)

    def copy(self, key: str, destination_key: str) -> None:
        """See Storage."""
        source, destination = self._path(key), self._path(destination_key)
        if not self.exists(key):
            raise ObjectNotFound(f"{self.url}: there is no {key}")
        with self._translated(key), _temporary(destination) as temporary:
            shutil.copyfile(source, temporary)
            _replace(temporary, destination)

    def copy_listed(self, source: Storage, item: StoredObject, destination_key: str) -> None:
        """See Storage."""
        self.write(destination_key, source.read_listed(item))

    def set_tags(self, key: str, tags: Mapping[str, str]) -> None:  # noqa: ARG002  # no file is tagged
        """See Storage."""
        raise StorageError(f"{self.url}: files have no tags; objects in S3 have")

    def write_file(self, key: str, file: BinaryIO) -> None:
        """See Storage."""
        path = self._path(key)
        with self._translated(key), _temporary(path) as temporary:
            with temporary.open("wb") as output:
                shutil.copyfileobj(file, output)
                output.flush()
                os.fsync(output.fileno())
            _replace(temporary, path)

    def delete(self, key: str) -> None:
        """See Storage."""
        if self.exists(key):
            with self._translated(key):
                self._path(key).unlink(missing_ok=True)

    def child(self, prefix: str) -> "LocalStorage":
        """See Storage."""
        return LocalStorage(self._path(prefix.strip("/")))

    def _path(self, key: str) -> Path:
        return self.folder / checked(key)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise ObjectNotFound(f"{self.url}: there is no {key}") from error
        except OSError as error:
            raise StorageError(f"{self.url}: {key}: {error.strerror}") from error


def _walk(folder: Path, relative: str, prefix: str) -> Iterator[StoredObject]:
    """Yields the files below a folder whose key starts with `prefix`, in the order of their keys."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        named = [(e.name + "/" if e.is_dir(follow_symlinks=False) else e.name, e) for e in entries]
    for name, entry in sorted(named, key=lambda pair: pair[0]):
        key = relative + name
        if name.startswith(RESERVED):
            continue
        if name.endswith("/"):
            if key.startswith(prefix) or prefix.startswith(key):
                yield from _walk(Path(entry.path), key, prefix)
        elif key.startswith(prefix) and entry.is_file():
            try:
                status = entry.stat()
            except FileNotFoundError:  # deleted while we were listing
                continue
            yield StoredObject(key, status.st_size, _etag(status))


def _etag(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Gives an unlisted name in the folder of `path`, which is made if need be; what is left there is removed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StorageError(f"{path}: a file stands where a folder is needed") from error
    if path.is_dir():
        raise StorageError(f"{path}: a folder stands where the file is to be")
    temporary = path.parent / f"{RESERVED}{secrets.token_hex(8)}"
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path) -> str:
    """Renames, with a later time than the file that is replaced: clock ticks are coarse and inodes come back."""
    status = temporary.stat()
    if path.exists():
        os.utime(temporary, ns=(status.st_atime_ns, max(status.st_mtime_ns, path.stat().st_mtime_ns + 1)))
        status = temporary.stat()
    os.replace(temporary, path)
    return _etag(status)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock against other threads and processes; the lock file stays, removing it would be a race."""
    with (folder / f"{RESERVED}lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
