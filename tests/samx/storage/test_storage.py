"""Every promise of Storage, on a folder and on a real S3 server."""

import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from samx.errors import ObjectNotFound, PreconditionFailed
from samx.storage import Storage, StoredObject, open_storage
from tests.samx.storage.listing import keys


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return open_storage(tmp_path / "data" if request.param == "folder" else request.getfixturevalue("s3_url"))


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
