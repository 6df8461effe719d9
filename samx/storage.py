"""One interface over a local folder and an S3 bucket; the only user of boto3.

`open_storage("s3://bucket/prefix")` or `open_storage("/data/export")` gives a `Storage`: list, read, write, copy,
delete. Keys are relative to its URL and separated by "/". Two kinds of write decide races between processes without a
server of our own: `if_absent` (create once: immutable versions, results of a shard) and `if_match` (compare and swap:
the pointer to the current version). On S3 they are `If-None-Match: *` and `If-Match`; in a folder, a hard link and a
comparison under a lock.

Nothing half-written is ever visible: a local file is written under a temporary name beside its place, then renamed.
Names that start with ".samx-" are such temporaries and locks: never listed, refused as keys.

Endpoint, region and credentials of S3 come from where boto3 always looks: AWS_* variables (AWS_ENDPOINT_URL for servers
that are not Amazon's), ~/.aws, instance roles.
"""

import fcntl
import io
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore import exceptions as botocore_errors
from botocore.config import Config
from botocore.parsers import ResponseParserError

from samx.errors import (
    AccessDenied,
    BucketNotFound,
    CredentialsRefused,
    ObjectNotFound,
    PreconditionFailed,
    StorageError,
    StorageUnavailable,
)

_RESERVED = ".samx-"
_MULTIPART_BYTES = 64 * 1024**2
# One CopyObject up to its limit of 5 GB; what is larger is copied in parts.
_COPY = TransferConfig(multipart_threshold=5 * 1024**3, multipart_chunksize=8 * _MULTIPART_BYTES)
_CREDENTIAL_CODES = frozenset(
    ("ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch")
)
_TRANSIENT_CODES = frozenset(("OperationAborted", "RequestTimeout", "SlowDown", "Throttling", "ThrottlingException"))


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


def open_storage(url: str | Path, *, requester_pays: bool = False) -> Storage:
    """Opens a place by its URL; nothing is contacted or made yet.

    Args:
        url: `s3://bucket`, `s3://bucket/prefix`, or a folder, which may be missing and is made by the first write.
        requester_pays: tell a bucket that its reader pays for the requests; without meaning for others.

    Raises:
        ValueError: empty, another scheme, or no valid bucket name.
    """
    text = str(url)
    scheme, separator, rest = text.partition("://")
    if isinstance(url, Path) or not separator:
        if text.startswith("s3:/"):
            raise ValueError(f"{text}: pass an S3 URL as a string, a Path merges its slashes")
        if not text:
            raise ValueError("an empty URL: allowed are s3://bucket/prefix and the path of a folder")
        return LocalStorage(Path(text).expanduser().absolute())
    if scheme != "s3":
        raise ValueError(f"{scheme}://: allowed are s3://bucket/prefix and the path of a folder")
    bucket, _, prefix = rest.partition("/")
    if len(bucket) < 3 or not all(character.isalnum() or character in "-._" for character in bucket):
        raise ValueError("no valid bucket name between s3:// and the next slash")
    prefix = _checked(prefix.strip("/")) if prefix.strip("/") else ""
    return S3Storage(bucket, prefix, requester_pays=requester_pays)


def _checked(key: str) -> str:
    """Returns a key that is safe to write under. Raises ValueError for any other."""
    for part in key.split("/"):
        if part in ("", ".", "..") or "\0" in part:
            raise ValueError(f"key {key!r}: allowed are relative ones like a/b/c, without empty, '.' and '..' parts")
        if part.startswith(_RESERVED):
            raise ValueError(f"key {key!r}: names that start with {_RESERVED} are reserved")
    return key


def _check_conditions(if_absent: bool, if_match: str | None) -> None:
    if if_absent and if_match is not None:
        raise ValueError("if_absent and if_match exclude each other")


# ---------------------------------------------------------------------------------------------------------- a folder


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
        start = self.folder / _checked(parent) if parent else self.folder
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
        _check_conditions(if_absent, if_match)
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
        return self.folder / _checked(key)

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
        if name.startswith(_RESERVED):
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
    temporary = path.parent / f"{_RESERVED}{secrets.token_hex(8)}"
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
    with (folder / f"{_RESERVED}lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# ---------------------------------------------------------------------------------------------------------- a bucket


@dataclass(frozen=True)
class S3Storage:
    """A prefix of a bucket.

    What a listing gives can be read, whatever its keys look like; only keys that are written are held to the rules.
    """

    bucket: str
    prefix: str = ""
    """Without a slash at either end."""
    page_size: int = 1000
    """Keys per request of a listing; 1000 is S3's limit."""
    requester_pays: bool = False
    _clients: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return S3Storage, (self.bucket, self.prefix, self.page_size, self.requester_pays)

    @property
    def url(self) -> str:
        """See Storage."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def list(self, prefix: str = "", *, after: str = "", versions: bool = False) -> Iterator[StoredObject]:
        """See Storage. The empty objects with which some tools mark folders are left out."""
        with self._translated(prefix):
            for entry in self._entries(prefix, after, versions=versions and self._keeps_versions()):
                if entry["Size"] or not entry["Key"].endswith("/"):
                    key = entry["Key"].removeprefix(self._key(""))
                    version = entry.get("VersionId", "")
                    yield StoredObject(key, entry["Size"], entry["ETag"].strip('"'), version)

    def _entries(self, prefix: str, after: str, *, versions: bool) -> Iterator[dict[str, Any]]:
        """Entries of a listing as S3 gives them, current versions only."""
        arguments: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self._key(prefix), **self._payer}
        arguments["PaginationConfig"] = {"PageSize": self.page_size}
        if versions:
            if after:
                arguments["KeyMarker"] = self._key(after)
            for page in self._client.get_paginator("list_object_versions").paginate(**arguments):
                yield from (
                    entry for entry in page.get("Versions", ()) if entry["IsLatest"] and entry["Key"] > self._key(after)
                )
        else:
            if after:
                arguments["StartAfter"] = self._key(after)
            for page in self._client.get_paginator("list_objects_v2").paginate(**arguments):
                yield from page.get("Contents", ())

    def _keeps_versions(self) -> bool:
        """Tells whether the bucket keeps versions; who may not know reads by etag."""
        try:
            answer = self._client.get_bucket_versioning(Bucket=self.bucket)
        except botocore_errors.ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (403, 405, 501):
                return False
            raise
        return "Status" in answer

    @property
    def _payer(self) -> dict[str, str]:
        return {"RequestPayer": "requester"} if self.requester_pays else {}

    def read(self, key: str) -> bytes:
        """See Storage."""
        return self.read_with_etag(key)[0]

    def read_with_etag(self, key: str) -> tuple[bytes, str]:
        """See Storage."""
        with self._translated(key):
            answer = self._client.get_object(Bucket=self.bucket, Key=self._key(key), **self._payer)
            # As its own context the body is the bare stream, whose errors are urllib3's.
            with closing(answer["Body"]) as body:
                return body.read(), answer["ETag"].strip('"')

    def read_listed(self, item: StoredObject, start: int = 0, stop: int | None = None) -> bytes:
        """See Storage."""
        condition = {"VersionId": item.version_id} if item.version_id else {"IfMatch": item.etag}
        if start or stop is not None:
            condition["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with self._translated(item.key):
            answer = self._client.get_object(Bucket=self.bucket, Key=self._key(item.key), **condition, **self._payer)
            with closing(answer["Body"]) as body:
                data: bytes = body.read()
                return data

    def exists(self, key: str) -> bool:
        """See Storage. S3 says no for a missing bucket as well, and refuses where listing is not permitted."""
        try:
            with self._translated(key):
                self._client.head_object(Bucket=self.bucket, Key=self._key(key), **self._payer)
        except ObjectNotFound:
            return False
        return True

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """See Storage. An answer lost on the way can make a conditional write that succeeded look as if it had not."""
        _check_conditions(if_absent, if_match)
        place = {"Bucket": self.bucket, "Key": self._key(_checked(key))}
        with self._translated(key, conditional=if_absent or if_match is not None):
            if if_absent:
                answer = self._client.put_object(**place, Body=data, IfNoneMatch="*")
            elif if_match is not None:
                # Without the quotes of HTTP: Amazon takes both, Ceph 16 compares what it gets with the bare etag.
                answer = self._client.put_object(**place, Body=data, IfMatch=if_match)
            elif len(data) > _MULTIPART_BYTES:
                self._client.upload_fileobj(io.BytesIO(data), **place)
                answer = self._client.head_object(**place)
            else:
                answer = self._client.put_object(**place, Body=data)
        return str(answer["ETag"]).strip('"')

    def copy(self, key: str, destination_key: str) -> None:
        """See Storage."""
        source = {"Bucket": self.bucket, "Key": self._key(key)}
        with self._translated(key):
            self._client.copy(source, self.bucket, self._key(_checked(destination_key)), Config=_COPY)

    def copy_listed(self, source: Storage, item: StoredObject, destination_key: str) -> None:
        """See Storage. At most 5 GB, the limit of CopyObject."""
        if not isinstance(source, S3Storage):
            self.write(destination_key, source.read_listed(item))
            return
        place = {"Bucket": source.bucket, "Key": source._key(item.key)}
        if item.version_id:
            place["VersionId"] = item.version_id
        with self._translated(item.key):
            answer = self._client.copy_object(
                Bucket=self.bucket,
                Key=self._key(_checked(destination_key)),
                CopySource=place,
                CopySourceIfMatch=item.etag,
                **source._payer,
            )
        # Ceph 16 does not look at the condition. The copy's etag is another where the source came up in parts.
        if answer["CopyObjectResult"]["ETag"].strip('"') != item.etag and not source._is_still(item):
            self.delete(destination_key)
            raise PreconditionFailed(f"{source.url}: {item.key} is no longer what it was when it was listed")

    def _is_still(self, item: StoredObject) -> bool:
        """Tells whether a version can be read, or an object still has its etag."""
        place = {"Bucket": self.bucket, "Key": self._key(item.key), **self._payer}
        if item.version_id:
            place["VersionId"] = item.version_id
        with self._translated(item.key):
            return bool(self._client.head_object(**place)["ETag"].strip('"') == item.etag)

    def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """See Storage."""
        tag_set = [{"Key": name, "Value": value} for name, value in tags.items()]
        with self._translated(key):
            self._client.put_object_tagging(
                Bucket=self.bucket, Key=self._key(_checked(key)), Tagging={"TagSet": tag_set}
            )

    def write_file(self, key: str, file: BinaryIO) -> None:
        """See Storage."""
        file.flush()
        with self._translated(key), open(os.dup(file.fileno()), "rb") as own:  # the client closes what it is given
            self._client.upload_fileobj(own, Bucket=self.bucket, Key=self._key(_checked(key)))

    def delete(self, key: str) -> None:
        """See Storage."""
        with self._translated(key):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(key))

    def child(self, prefix: str) -> "S3Storage":
        """See Storage."""
        below = self._key(_checked(prefix.strip("/")))
        return S3Storage(self.bucket, below, self.page_size, self.requester_pays, self._clients)

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    @property
    def _client(self) -> Any:
        """The client of this process: threads may share one, forked processes must not share its connections."""
        process = os.getpid()
        if process not in self._clients:
            config = Config(
                connect_timeout=10,
                read_timeout=60,
                retries={"mode": "standard", "total_max_attempts": 4},
                max_pool_connections=32,
                request_checksum_calculation="when_required",  # servers that are not Amazon's may know no others
                response_checksum_validation="when_required",
            )
            try:
                self._clients[process] = boto3.session.Session().client("s3", config=config)
            except ValueError:
                raise StorageError(f"{self.url}: AWS_ENDPOINT_URL is not a URL like https://host:port") from None
        return self._clients[process]

    @contextmanager
    def _translated(self, key: str, *, conditional: bool = False) -> Iterator[None]:
        try:
            yield
        except botocore_errors.ClientError as error:
            raise self._refusal(error, key, conditional) from error
        except (botocore_errors.NoCredentialsError, botocore_errors.PartialCredentialsError) as error:
            raise CredentialsRefused(
                f"{self.url}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            ) from error
        except (botocore_errors.ConnectionError, botocore_errors.HTTPClientError) as error:
            endpoint = urlsplit(self._client.meta.endpoint_url)
            raise StorageUnavailable(
                f"{self.url}: no answer from {endpoint.hostname}:{endpoint.port or endpoint.scheme} "
                f"({type(error).__name__}); check AWS_ENDPOINT_URL and the network"
            ) from error
        except (
            botocore_errors.IncompleteReadError,
            botocore_errors.ChecksumError,
            ResponseParserError,
            S3UploadFailedError,
        ) as error:
            raise StorageUnavailable(f"{self.url}: an answer broke off ({type(error).__name__})") from error
        except botocore_errors.BotoCoreError as error:
            raise StorageError(f"{self.url}: {type(error).__name__}; check the AWS_* variables and ~/.aws") from error

    def _refusal(self, error: botocore_errors.ClientError, key: str, conditional: bool) -> StorageError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "NoSuchBucket":
            return BucketNotFound(f"{self.url}: there is no bucket {self.bucket!r}; create it, or correct the URL")
        if status == 412 or (conditional and status in (404, 409)):
            return PreconditionFailed(f"{self.url}: {key} exists already, or is no longer what it was when it was read")
        if status == 404:
            return ObjectNotFound(f"{self.url}: there is no {key}")
        what = key or "the listing"
        if status in (401, 403) or code in _CREDENTIAL_CODES:
            refused = CredentialsRefused if code in _CREDENTIAL_CODES else AccessDenied
            return refused(
                f"{self.url}: access to {what} refused ({code}); check the credentials (AWS_ACCESS_KEY_ID or "
                "AWS_PROFILE) and what they are allowed to do with this bucket"
            )
        transient = status in (408, 429) or status >= 500 or code in _TRANSIENT_CODES
        failed = StorageUnavailable if transient else StorageError
        return failed(f"{self.url}: {error.operation_name} of {what} failed: {code} (HTTP {status})")
