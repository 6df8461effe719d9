"""Every promise of Storage, on a folder and on a real S3 server; then what only one of the two can get wrong."""

import os
import pickle
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from samx.errors import ObjectNotFound, PreconditionFailed, StorageError, StorageUnavailable
from samx.storage import LocalStorage, S3Storage, Storage, StoredObject, open_storage
from tests.faulty_proxy import faulty_proxy
from tests.s3_server import S3Server


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return open_storage(tmp_path / "data" if request.param == "folder" else request.getfixturevalue("s3_url"))


def keys(storage: Storage, prefix: str = "") -> list[str]:
    return [stored.key for stored in storage.list(prefix)]


def test_what_is_written_is_read(storage: Storage) -> None:
    etag = storage.write("a/b.bin", b"\x00\xff bytes")
    assert storage.read("a/b.bin") == b"\x00\xff bytes"
    assert storage.read_with_etag("a/b.bin") == (b"\x00\xff bytes", etag)
    assert list(storage.list()) == [StoredObject("a/b.bin", 8, etag)]


def test_an_empty_object_is_an_object(storage: Storage) -> None:
    storage.write("empty", b"")
    assert storage.read("empty") == b""
    assert storage.exists("empty")


def test_overwriting_changes_bytes_and_etag(storage: Storage) -> None:
    first = storage.write("key", b"one")
    second = storage.write("key", b"two")
    assert storage.read_with_etag("key") == (b"two", second)
    assert first != second


def test_missing_objects(storage: Storage) -> None:
    storage.write("there/file", b"")
    for key in ("absent", "absent/absent", "there", "there/file/below"):
        assert not storage.exists(key)
        with pytest.raises(ObjectNotFound, match=key):
            storage.read(key)
        with pytest.raises(ObjectNotFound, match=key):
            storage.copy(key, "copy")
        storage.delete(key)
    assert keys(storage) == ["there/file"]


def test_a_place_with_nothing_in_it_lists_nothing(storage: Storage) -> None:
    assert keys(storage) == []
    assert keys(storage, "no/such/prefix") == []


@pytest.mark.parametrize(
    "key",
    [
        "with space.dcm",
        "Hüfte/Röntgen 1.dcm",
        "日本/画像",
        "a+b%20c&d=e?f#g.dcm",
        "'quote\"s'",
        "~tilde/.hidden",
        "x" * 200,
    ],
)
def test_any_reasonable_key_survives(storage: Storage, key: str) -> None:
    storage.write(key, b"1", if_absent=True)
    assert keys(storage) == [key]
    assert storage.read(key) == b"1"
    storage.copy(key, "copies/" + key)
    assert storage.exists("copies/" + key)
    storage.delete(key)
    assert keys(storage) == ["copies/" + key]


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", "./a", "a\0b", "a/.samx-1"])
def test_other_keys_are_refused(storage: Storage, key: str) -> None:
    storage.write("source", b"")
    with pytest.raises(ValueError, match="key"):
        storage.write(key, b"")
    with pytest.raises(ValueError, match="key"):
        storage.copy("source", key)
    assert keys(storage) == ["source"]


def test_listing_is_sorted_by_key_whatever_the_folders(storage: Storage) -> None:
    written = ["a-b/1", "a/2", "a/10", "a.txt", "a0", "A", "b/c/d/e", "ü", "z", "\U0001f9b4"]
    for key in written:
        storage.write(key, b"")
    assert keys(storage) == sorted(written, key=str.encode)


def test_a_prefix_is_a_string_and_not_a_folder(storage: Storage) -> None:
    for key in ("run/1", "run/12", "run/2", "runs/1", "ru"):
        storage.write(key, b"")
    assert keys(storage, "run") == ["run/1", "run/12", "run/2", "runs/1"]
    assert keys(storage, "run/") == ["run/1", "run/12", "run/2"]
    assert keys(storage, "run/1") == ["run/1", "run/12"]
    assert keys(storage, "run/1/") == []


def test_if_absent_keeps_the_first(storage: Storage) -> None:
    etag = storage.write("version/manifest.json", b"first", if_absent=True)
    with pytest.raises(PreconditionFailed, match=r"version/manifest\.json"):
        storage.write("version/manifest.json", b"second", if_absent=True)
    assert storage.read_with_etag("version/manifest.json") == (b"first", etag)


def test_if_match_swaps_once(storage: Storage) -> None:
    first = storage.write("current.json", b"1")
    second = storage.write("current.json", b"2", if_match=first)
    with pytest.raises(PreconditionFailed, match=r"current\.json"):
        storage.write("current.json", b"3", if_match=first)
    assert storage.read_with_etag("current.json") == (b"2", second)
    assert storage.write("current.json", b"3", if_match=second) != second


def test_if_match_of_a_missing_object_fails(storage: Storage) -> None:
    with pytest.raises(PreconditionFailed):
        storage.write("missing", b"", if_match="0123456789abcdef0123456789abcdef")
    assert not storage.exists("missing")


def test_both_conditions_at_once_make_no_sense(storage: Storage) -> None:
    with pytest.raises(ValueError, match="exclude"):
        storage.write("key", b"", if_absent=True, if_match="etag")


def test_of_many_writers_one_wins(storage: Storage) -> None:
    start = threading.Barrier(8)

    def write(writer: int) -> int | None:
        start.wait()
        try:
            storage.write("shard/0", f"writer {writer}".encode() * 1000, if_absent=True)
        except PreconditionFailed:
            return None
        return writer

    with ThreadPoolExecutor(8) as threads:
        winners = [writer for writer in threads.map(write, range(8)) if writer is not None]
    assert len(winners) == 1
    assert storage.read("shard/0") == f"writer {winners[0]}".encode() * 1000


def test_compare_and_swap_loses_no_update(storage: Storage) -> None:
    storage.write("counter", b"0")

    def count(_: int) -> None:
        while True:
            data, etag = storage.read_with_etag("counter")
            try:
                storage.write("counter", b"%d" % (int(data) + 1), if_match=etag)
            except PreconditionFailed:
                continue
            return

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, range(20)))
    assert storage.read("counter") == b"20"


def test_a_copy_is_independent(storage: Storage) -> None:
    storage.write("original", b"kept")
    storage.write("copies/one", b"overwritten by the copy")
    storage.copy("original", "copies/one")
    storage.write("copies/one", b"changed")
    assert storage.read("original") == b"kept"


def test_what_was_listed_is_read_or_said_to_be_gone_or_replaced(storage: Storage, tmp_path: Path) -> None:
    for key in ("gone", "kept", "replaced"):
        storage.write(key, b"0123456789")
    gone, kept, replaced = storage.list()
    storage.delete("gone")
    storage.write("replaced", b"other")
    assert storage.read_listed(kept) == b"0123456789"
    assert storage.read_listed(kept, 3, 5) == b"34"
    assert storage.read_listed(kept, 8, 16) == b"89"
    other = open_storage(tmp_path / "other")
    for item, error in ((gone, ObjectNotFound), (replaced, PreconditionFailed)):
        with pytest.raises(error):
            storage.read_listed(item)
        with pytest.raises(error):
            storage.copy_listed(storage, item, "copy")
        with pytest.raises(error):
            other.copy_listed(storage, item, "copy")
    storage.copy_listed(storage, kept, "copy/of/kept")
    other.copy_listed(storage, kept, "copy")
    assert storage.read("copy/of/kept") == other.read("copy") == b"0123456789"


def test_a_listing_goes_on_after_a_key(storage: Storage) -> None:
    for key in ("a", "b/1", "b/2", "c"):
        storage.write(key, b"")
    assert [item.key for item in storage.list(after="b/1")] == ["b/2", "c"]
    assert [item.key for item in storage.list("b/", after="b/1")] == ["b/2"]
    assert [item.key for item in storage.list(after="b/1", versions=True)] == ["b/2", "c"]


def test_a_file_is_stored_whole(storage: Storage, tmp_path: Path) -> None:
    data = os.urandom(9_000_000)  # above the part size of an upload
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as file:
        storage.write_file("folder/file", file)
        file.seek(0)  # it stays open, for another attempt
    assert storage.read("folder/file") == data


def test_a_reader_sees_the_old_or_the_new_bytes_and_nothing_else(storage: Storage) -> None:
    old, new = b"o" * 300_000, b"n" * 200_000
    storage.write("object", old)
    done = threading.Event()

    def overwrite() -> None:
        for data in [new, old] * 10:
            storage.write("object", data)
        done.set()

    seen: set[bytes] = set()
    listed: set[tuple[str, int]] = set()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(overwrite)
        while not done.is_set():
            seen.add(storage.read("object"))
            listed.update((stored.key, stored.size_bytes) for stored in storage.list())
    assert seen <= {old, new}
    assert listed <= {("object", len(old)), ("object", len(new))}


def test_a_child_is_the_storage_below(storage: Storage) -> None:
    child = storage.child("models/").child("samx/v1")
    child.write("manifest.json", b"{}")
    assert child.url == f"{storage.url}/models/samx/v1"
    assert keys(storage) == ["models/samx/v1/manifest.json"]
    assert keys(child) == ["manifest.json"]
    assert keys(open_storage(child.url)) == ["manifest.json"]
    with pytest.raises(ValueError, match="key"):
        storage.child("../sibling")


def test_a_storage_survives_pickling(storage: Storage) -> None:
    storage.write("key", b"data")
    assert pickle.loads(pickle.dumps(storage)).read("key") == b"data"


def _read(storage: Storage, answer: Callable[[bytes], None]) -> None:
    answer(storage.read("key"))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_uses_its_own_connections(storage: Storage) -> None:
    storage.write("key", b"data")
    context = get_context("fork")
    answers = context.SimpleQueue()
    processes = [context.Process(target=_read, args=(storage, answers.put)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [storage.read("key") for _ in range(5)] == [b"data"] * 5
    for process in processes:
        process.join(timeout=60)
    assert [answers.get() for _ in processes] == [b"data"] * 3


# -------------------------------------------------------------------------------------------------------- only a folder


def test_a_path_and_a_string_open_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_storage("data").url == open_storage(Path("data")).url == str(tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "empty"),
        ("gs://bucket/x", "gs://: allowed are s3://"),
        ("https://example.org", "allowed are s3://"),
        ("s3://", "bucket name"),
        ("s3:///x", "bucket name"),
        ("s3://user:secret@bucket/x", "^no valid bucket name"),
        (Path("s3://bucket/x"), "as a string"),
        ("s3://bucket/../x", "key"),
    ],
)
def test_other_urls_are_refused(url: str | Path, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        open_storage(url)


def test_temporary_names_and_locks_are_not_listed(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    storage.write("a", b"2", if_match=storage.write("a", b"1"))
    (tmp_path / ".samx-0123456789abcdef").write_bytes(b"left by a process that was killed")
    assert keys(storage) == ["a"]
    assert keys(storage, ".samx") == []


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    storage.write("key", b"old")
    with pytest.raises(TypeError):
        storage.write("key", "text, not bytes")  # type: ignore[arg-type]
    with pytest.raises(PreconditionFailed):
        storage.write("key", b"new", if_absent=True)
    assert os.listdir(tmp_path) == ["key"]
    assert storage.read("key") == b"old"


def test_files_get_the_permissions_of_the_umask(tmp_path: Path) -> None:
    open_storage(tmp_path).write("key", b"")
    (tmp_path / "reference").touch()
    assert (tmp_path / "key").stat().st_mode == (tmp_path / "reference").stat().st_mode


def test_a_file_where_a_folder_is_needed_is_said(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    storage.write("a/b", b"")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        storage.write("a/b/c", b"")
    with pytest.raises(StorageError, match="a folder stands where the file is to be"):
        storage.write("a", b"")


def test_links_to_files_are_read_and_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere.dcm").write_bytes(b"linked")
    (tmp_path / "data" / "link.dcm").symlink_to(tmp_path / "elsewhere.dcm")
    (tmp_path / "data" / "circle").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "dangling").symlink_to(tmp_path / "nowhere")
    storage = open_storage(tmp_path / "data")
    assert keys(storage) == ["link.dcm"]
    assert storage.read("link.dcm") == b"linked"


def test_the_system_s_refusal_is_a_storage_error() -> None:
    with pytest.raises(StorageError, match=r"/proc/samx.*key"):
        LocalStorage(Path("/proc/samx")).write("key", b"")
    with pytest.raises(StorageError, match="too long"):
        LocalStorage(Path("/tmp")).read("x" * 300)


def test_etags_differ_even_if_clock_size_and_inode_do_not(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    etags = [storage.write("key", b"0")]
    for number in range(200):
        etags.append(storage.write("key", b"%d" % (number % 10), if_match=etags[-1]))
    assert len(set(etags)) == len(etags)
    assert next(storage.list()).etag == etags[-1]


# -------------------------------------------------------------------------------------------------------- only a bucket


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
    monkeypatch.setattr("samx.storage._MULTIPART_BYTES", 1_000_000)
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
