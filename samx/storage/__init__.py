"""One interface over a local folder and an S3 bucket, the only user of boto3.

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

from pathlib import Path

from samx.storage.bucket import S3Storage
from samx.storage.folder import LocalStorage
from samx.storage.place import Storage, StoredObject, checked

__all__ = ["LocalStorage", "S3Storage", "Storage", "StoredObject", "open_storage"]


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
    prefix = checked(prefix.strip("/")) if prefix.strip("/") else ""
    return S3Storage(bucket, prefix, requester_pays=requester_pays)
