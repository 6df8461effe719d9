"""A prefix of an S3 bucket as a storage: conditional requests decide races, and every refusal says what to do."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO
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
from samx.storage.place import Storage, StoredObject, check_conditions, checked

_MULTIPART_BYTES = 64 * 1024**2
# One CopyObject up to its limit of 5 GB; what is larger is copied in parts.
_COPY = TransferConfig(multipart_threshold=5 * 1024**3, multipart_chunksize=8 * _MULTIPART_BYTES)
_CREDENTIAL_CODES = frozenset(
    ("ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch")
)
_TRANSIENT_CODES = frozenset(("OperationAborted", "RequestTimeout", "SlowDown", "Throttling", "ThrottlingException"))


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
        check_conditions(if_absent, if_match)
        place = {"Bucket": self.bucket, "Key": self._key(checked(key))}
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
            self._client.copy(source, self.bucket, self._key(checked(destination_key)), Config=_COPY)

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
                Key=self._key(checked(destination_key)),
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
                Bucket=self.bucket, Key=self._key(checked(key)), Tagging={"TagSet": tag_set}
            )

    def write_file(self, key: str, file: BinaryIO) -> None:
        """See Storage."""
        file.flush()
        with self._translated(key), open(os.dup(file.fileno()), "rb") as own:  # the client closes what it is given
            self._client.upload_fileobj(own, Bucket=self.bucket, Key=self._key(checked(key)))

    def delete(self, key: str) -> None:
        """See Storage."""
        with self._translated(key):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(key))

    def child(self, prefix: str) -> "S3Storage":
        """See Storage."""
        below = self._key(checked(prefix.strip("/")))
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
