"""What only a bucket can get wrong, on a real S3 server."""

import os
import socket
from pathlib import Path

import pytest

from samx.errors import StorageError, StorageUnavailable
from samx.storage import S3Storage, open_storage
from tests.faulty_proxy import faulty_proxy
from tests.s3_server import S3Server
from tests.samx.storage.listing import keys


def test_a_listing_of_several_pages_is_whole(s3_url: str) -> None:
    storage = open_storage(s3_url)
    assert isinstance(storage, S3Storage)
    written = [f"{number % 3}/{number:02d}" for number in range(25)]
    for key in written:
        storage.write(key, b"")
    for page_size in (1, 4, 5, 25, 1000):
        assert keys(S3Storage(storage.bucket, storage.prefix, page_size)) == sorted(written)


def test_what_others_put_into_a_bucket_is_listed_and_read(s3_url: str) -> None:
    storage = open_storage(s3_url)
    assert isinstance(storage, S3Storage)
    storage._client.put_object(Bucket=storage.bucket, Key=f"{storage.prefix}/folder/", Body=b"")  # a mark: left out
    written = ["../up", "/absolute", "Röntgen bilder/knie links.dcm", "double//slash", "slash at the end/", "tab\t"]
    written.append("k" * (1024 - len(storage.prefix) - 1))
    for key in written:
        storage._client.put_object(Bucket=storage.bucket, Key=f"{storage.prefix}/{key}", Body=b"1")
    assert keys(storage) == sorted(written)
    assert [storage.read_listed(item) for item in storage.list()] == [b"1"] * len(written)
    for item in storage.list():
        storage.child("copies").copy_listed(storage, item, item.etag)
    assert [item.etag for item in storage.list("copies/")] == [next(storage.list()).etag]


def test_a_version_is_read_after_it_was_replaced_or_deleted(s3_url: str) -> None:
    storage = open_storage(f"s3://versions-{os.urandom(4).hex()}/export")
    assert isinstance(storage, S3Storage)
    storage._client.create_bucket(Bucket=storage.bucket)
    storage._client.put_bucket_versioning(Bucket=storage.bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("deleted", "replaced"):
        storage.write(key, b"older")
        storage.write(key, b"listed")
    listed = list(storage.list(versions=True))
    storage.delete("deleted")
    storage.write("replaced", b"newer")
    assert [storage.read_listed(item) for item in listed] == [b"listed"] * 2
    assert [item.key for item in storage.list(versions=True)] == ["replaced"]
    for item in listed:
        storage.copy_listed(storage, item, f"copy/{item.key}")
    assert [storage.read(f"copy/{item.key}") for item in listed] == [b"listed"] * 2


def test_tags_are_set(s3_url: str, tmp_path: Path) -> None:
    storage = open_storage(s3_url)
    assert isinstance(storage, S3Storage)
    storage.write("key", b"")
    storage.set_tags("key", {"label": "knee", "probability": "0.98"})
    answer = storage._client.get_object_tagging(Bucket=storage.bucket, Key=f"{storage.prefix}/key")
    assert {tag["Key"]: tag["Value"] for tag in answer["TagSet"]} == {"label": "knee", "probability": "0.98"}
    with pytest.raises(StorageError, match="files have no tags"):
        open_storage(tmp_path).set_tags("key", {})


def test_every_failing_call_is_a_storage_error_that_says_to_try_again(
    s3_server: S3Server, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the connection ends within the body, which boto3 does not repeat."""
    storage, data = open_storage(s3_url), os.urandom(300_000)
    storage.write("key", data)
    (item,) = storage.list()
    num_failed = 0
    with faulty_proxy(s3_server.endpoint, share=0.6) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        storage = open_storage(s3_url)
        for _ in range(30):
            for read in (lambda: storage.read("key"), lambda: storage.read_listed(item)):
                try:
                    assert read() == data
                except StorageUnavailable:
                    num_failed += 1
    assert proxy.faults["reset_in_body"] > 5
    assert num_failed > 5


def test_who_reads_pays_where_the_bucket_asks_for_it(s3_url: str) -> None:
    storage = open_storage(s3_url, requester_pays=True)
    assert isinstance(storage, S3Storage)
    sent: list[str] = []
    storage.write("key", b"1")
    storage._client.meta.events.register(
        "before-send.s3", lambda request, **_: sent.append(str(request.headers.get("x-amz-request-payer", "")))
    )
    (item,) = storage.list()
    assert storage.read_listed(item) == storage.read("key") == b"1"
    assert storage.exists("key")
    assert storage.child("below").exists("key") is False
    assert sent == ["b'requester'"] * 5


def test_large_objects_go_up_in_parts(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samx.storage.bucket._MULTIPART_BYTES", 1_000_000)
    storage, data = open_storage(s3_url), os.urandom(9_000_000)
    etag = storage.write("large", data)
    assert etag.endswith("-2")  # S3's mark of an object in two parts
    assert storage.read_with_etag("large") == (data, etag)
    second = storage.write("large", data[1:], if_match=etag)
    assert second != etag


def test_a_missing_bucket_is_said(s3_url: str) -> None:
    storage = open_storage("s3://no-such-bucket-here/x")
    for attempt in (lambda: storage.read("a"), lambda: storage.write("a", b""), lambda: keys(storage)):
        with pytest.raises(StorageError, match="there is no bucket 'no-such-bucket-here'; create it"):
            attempt()


def test_wrong_credentials_are_said_and_not_shown(
    s3_server: S3Server, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if s3_server.name == "moto":
        pytest.skip("moto accepts any credentials")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(StorageError, match=r"access to a refused .*AWS_PROFILE") as refused:
        open_storage(s3_url).read("a")
    assert "not-the-secret" not in str(refused.value)
    assert os.environ["AWS_ACCESS_KEY_ID"] not in str(refused.value)


def test_no_credentials_are_said(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match="no credentials; set AWS_ACCESS_KEY_ID"):
        open_storage(s3_url).write("a", b"")


def test_an_unreachable_endpoint_is_said(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:secret@127.0.0.1:{port}")
    with pytest.raises(
        StorageError, match=f"no answer from 127.0.0.1:{port} .*; check AWS_ENDPOINT_URL"
    ) as unreachable:
        keys(open_storage(s3_url))
    assert "secret" not in str(unreachable.value)


def test_a_broken_configuration_is_said(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(StorageError, match=r"ProfileNotFound; check the AWS_\* variables"):
        open_storage(s3_url).exists("a")
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL"):
        open_storage(s3_url).exists("a")
