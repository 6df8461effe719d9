"""What only a folder can get wrong."""

import os
from pathlib import Path

import pytest

from samx.errors import PreconditionFailed, StorageError
from samx.storage import LocalStorage, open_storage
from tests.samx.storage.listing import keys


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
