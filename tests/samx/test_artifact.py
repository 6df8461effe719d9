"""Every promise of the artifact, in a folder and on a real S3 server: whole or not at all, and never changed."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version as library_version
from pathlib import Path

import pytest

from samx.artifact import (
    CURRENT,
    MANIFEST_CHECKSUM,
    Artifact,
    library_versions,
    read_artifact,
    resolve,
    roll_back,
    set_current,
    write_artifact,
)
from samx.errors import (
    ArtifactCorrupt,
    ArtifactError,
    ArtifactIncompatible,
    PreconditionFailed,
    StorageError,
    VersionExists,
)
from samx.manifest import GOLDEN, MANIFEST, WEIGHTS, Manifest, ModelSpec
from samx.storage import Storage, StoredObject, open_storage
from tests.small_artifact import LABELS, small_provenance, small_spec

FILES = {
    "MODEL_CARD.md": b"# A model\n",
    GOLDEN: b"[]\n",
    "plots/confusion.png": b"\x89PNG\r\n\x1a\n\x00",
    WEIGHTS: bytes(range(256)),
}
PUBLISHED = sorted([*FILES, MANIFEST, MANIFEST_CHECKSUM])
REFUSALS = (ArtifactCorrupt, ArtifactIncompatible)


@pytest.fixture
def models(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A place for models: a folder, on_both also a bucket."""
    on_s3 = getattr(request, "param", "folder") == "s3"
    return open_storage(request.getfixturevalue("s3_url") if on_s3 else tmp_path / "models")


on_both = pytest.mark.parametrize("models", ["folder", "s3"], indirect=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published version in a local folder."""
    publish(open_storage(tmp_path))
    return tmp_path / "m" / "1"


def publish(
    models: Storage,
    version: str = "1",
    *,
    files: Mapping[str, bytes] = FILES,
    model: ModelSpec | None = None,
    created_at: str = "2026-01-01T00:00:00Z",
    source: str = "tests",
) -> Manifest:
    return write_artifact(
        models,
        name="m",
        version=version,
        model=model or small_spec(),
        provenance=small_provenance(created_at, source),
        files=files,
    )


def contents(storage: Storage) -> dict[str, tuple[bytes, str]]:
    """Bytes and etag of everything: equal only if nothing has been written, not even the same again."""
    return {stored.key: storage.read_with_etag(stored.key) for stored in storage.list()}


def rewrite_manifest(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Changes the manifest and makes its checksum right again."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    change(manifest)
    replace_manifest(folder, json.dumps(manifest).encode())


def replace_manifest(folder: Path, encoded: bytes) -> None:
    (folder / MANIFEST).write_bytes(encoded)
    (folder / MANIFEST_CHECKSUM).write_text(f"{hashlib.sha256(encoded).hexdigest()}  {MANIFEST}\n")


def nothing(key: str) -> None:
    """What happens at a key where nothing is to happen."""


@dataclass
class Watched:
    """A storage where things happen before a write and after a read; the network's part in these tests."""

    storage: Storage
    before_write: Callable[[str], None]
    after_read: Callable[[str], None] = nothing

    @property
    def url(self) -> str:
        return self.storage.url

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return self.storage.list(prefix)

    def read(self, key: str) -> bytes:
        return self.read_with_etag(key)[0]

    def read_with_etag(self, key: str) -> tuple[bytes, str]:
        found = self.storage.read_with_etag(key)
        self.after_read(key)
        return found

    def exists(self, key: str) -> bool:
        return self.storage.exists(key)

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        self.before_write(key)
        return self.storage.write(key, data, if_absent=if_absent, if_match=if_match)

    def copy(self, key: str, destination_key: str) -> None:
        self.storage.copy(key, destination_key)

    def delete(self, key: str) -> None:
        self.storage.delete(key)

    def child(self, prefix: str) -> "Watched":
        return Watched(self.storage.child(prefix), self.before_write, self.after_read)


def cut_after(models: Storage, num_writes: int) -> Storage:
    """A storage whose connection is lost after some writes."""
    written: list[str] = []

    def lose_connection(key: str) -> None:
        if len(written) == num_writes:
            raise StorageError("connection lost")
        written.append(key)

    return Watched(models, lose_connection)


def once_before_write_of(models: Storage, file: str, happening: Callable[[], object]) -> Storage:
    """A storage where something happens just before the first write of `file`."""
    return Watched(models, once(file, happening))


def once_after_read_of(models: Storage, file: str, happening: Callable[[], object]) -> Storage:
    """A storage where something happens just after the first read of `file`."""
    return Watched(models, nothing, once(file, happening))


def once(file: str, happening: Callable[[], object]) -> Callable[[str], None]:
    happenings = [happening]

    def happen(key: str) -> None:
        if key.endswith(file) and happenings:
            happenings.pop()()

    return happen


# ------------------------------------------------------------------------------------------------- writing and reading


@on_both
def test_what_is_published_is_read(models: Storage) -> None:
    manifest = publish(models)
    artifact = read_artifact(models.child("m/1"))
    assert artifact == Artifact(manifest, FILES)
    assert artifact.manifest.model == small_spec()
    assert artifact.manifest.model.labels == LABELS
    assert artifact.manifest.provenance == small_provenance()
    assert (artifact.manifest.name, artifact.manifest.version) == ("m", "1")
    assert artifact.manifest.files == {file: hashlib.sha256(content).hexdigest() for file, content in FILES.items()}
    assert [stored.key for stored in models.list()] == [f"m/1/{file}" for file in PUBLISHED]


def test_manifest_checksum_is_what_sha256sum_checks(folder: Path) -> None:
    digest, separator, name = (folder / MANIFEST_CHECKSUM).read_text().rstrip("\n").partition("  ")
    assert digest == hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert (separator, name) == ("  ", MANIFEST)


def test_checksum_of_the_manifest_is_written_last(tmp_path: Path) -> None:
    keys: list[str] = []
    publish(Watched(open_storage(tmp_path), keys.append))
    assert keys == [*sorted(FILES), MANIFEST, MANIFEST_CHECKSUM]


def test_library_versions_are_those_installed() -> None:
    versions = library_versions()
    assert versions["pydicom"] == library_version("pydicom")
    assert library_version("torch").startswith(versions["torch"])
    assert "+" not in versions["torch"], "a CPU and a CUDA build are one version"


@pytest.mark.parametrize(
    ("name", "version"), [("m", ""), ("m", "../2"), ("m", "1/2"), ("m", "-1"), ("", "1"), ("..", "1"), ("m", "1\n")]
)
def test_names_that_are_no_folder_are_refused(models: Storage, name: str, version: str) -> None:
    with pytest.raises(ValueError, match=r"name|version|key"):
        write_artifact(
            models, name=name, version=version, model=small_spec(), provenance=small_provenance(), files=FILES
        )
    assert list(models.list()) == []


@pytest.mark.parametrize("file", [WEIGHTS, GOLDEN])
def test_nothing_is_written_without_weights_and_golden_answers(tmp_path: Path, file: str) -> None:
    with pytest.raises(ValueError, match=f"no {file}"):
        publish(open_storage(tmp_path), files={key: content for key, content in FILES.items() if key != file})
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("file", PUBLISHED)
def test_any_changed_byte_refuses_the_artifact(folder: Path, file: str) -> None:
    content = (folder / file).read_bytes()
    for position in {*range(0, len(content), max(1, len(content) // 100)), len(content) - 1}:
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        (folder / file).write_bytes(changed)
        with pytest.raises(REFUSALS, match=MANIFEST if file == MANIFEST_CHECKSUM else file):
            read_artifact(open_storage(folder))
    (folder / file).write_bytes(content)
    assert read_artifact(open_storage(folder)).files == FILES


@pytest.mark.parametrize("file", PUBLISHED)
def test_a_changed_length_refuses_the_artifact(folder: Path, file: str) -> None:
    content = (folder / file).read_bytes()
    for damaged in (b"", content[:-1], content + b"\0", content * 2):
        (folder / file).write_bytes(damaged)
        with pytest.raises(ArtifactCorrupt):
            read_artifact(open_storage(folder))


def test_a_changed_byte_on_s3_refuses_the_artifact(s3_url: str) -> None:
    folder = open_storage(s3_url).child("m/1")
    publish(open_storage(s3_url))
    for file in PUBLISHED:
        content = folder.read(file)
        folder.write(file, content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        with pytest.raises(ArtifactCorrupt):
            read_artifact(folder)
        folder.write(file, content)
    assert read_artifact(folder).files == FILES


@pytest.mark.parametrize("file", sorted(FILES))
def test_a_deleted_file_refuses_the_artifact(models: Storage, file: str) -> None:
    publish(models)
    models.delete(f"m/1/{file}")
    with pytest.raises(ArtifactCorrupt, match=f"{file} is missing"):
        read_artifact(models.child("m/1"))


@pytest.mark.parametrize("file", [MANIFEST, MANIFEST_CHECKSUM])
def test_without_manifest_or_checksum_nothing_is_published(models: Storage, file: str) -> None:
    publish(models)
    models.delete(f"m/1/{file}")
    with pytest.raises(ArtifactError, match="no published artifact"):
        read_artifact(models.child("m/1"))


def test_two_swapped_files_refuse_the_artifact(folder: Path) -> None:
    card, weights = folder / "MODEL_CARD.md", folder / WEIGHTS
    swapped = card.read_bytes(), weights.read_bytes()
    weights.write_bytes(swapped[0])
    card.write_bytes(swapped[1])
    with pytest.raises(ArtifactCorrupt, match="differs from its checksum"):
        read_artifact(open_storage(folder))


def test_a_manifest_that_cannot_be_read_refuses_the_artifact(folder: Path) -> None:
    rewrite_manifest(folder, lambda manifest: manifest.update(schema_version=3))
    with pytest.raises(ArtifactIncompatible, match=f"{folder}.* has schema version 3; this code reads 2"):
        read_artifact(open_storage(folder))


def test_a_manifest_of_the_same_content_is_accepted_after_its_checksum_is_made_right(folder: Path) -> None:
    """The refusals above are for what was changed, not for the rewriting."""
    rewrite_manifest(folder, dict)
    assert read_artifact(open_storage(folder)).files == FILES


# ------------------------------------------------------------------------------------------- immutable, all or nothing


@on_both
def test_a_published_version_cannot_be_published_again(models: Storage) -> None:
    publish(models)
    before = contents(models)
    for files in (FILES, {**FILES, WEIGHTS: b"other"}, {**FILES, "extra": b""}):
        with pytest.raises(VersionExists, match="version 1 of m is published"):
            publish(models, files=files)
        assert contents(models) == before


def test_versions_stand_beside_each_other(models: Storage) -> None:
    publish(models, "1")
    before = contents(models.child("m/1"))
    publish(models, "2", files={**FILES, WEIGHTS: b"other"})
    assert contents(models.child("m/1")) == before
    assert read_artifact(models.child("m/2")).files[WEIGHTS] == b"other"


@pytest.mark.parametrize(
    ("models", "num_writes"),
    [*(("folder", number) for number in range(len(PUBLISHED))), ("s3", 2), ("s3", len(PUBLISHED) - 1)],
    indirect=["models"],
)
def test_an_interrupted_publication_is_completed_by_the_same_content_only(models: Storage, num_writes: int) -> None:
    first, second = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    manifest_stands = num_writes > len(FILES)
    with pytest.raises(StorageError, match="connection lost"):
        publish(cut_after(models, num_writes), created_at=first, source="one place")
    assert len(list(models.list())) == num_writes

    with pytest.raises(ArtifactError, match="no published artifact"):
        read_artifact(models.child("m/1"))
    with pytest.raises(ArtifactError, match="not published"):
        set_current(models, name="m", version="1")

    begun = contents(models)
    if num_writes > 0:
        with pytest.raises(VersionExists, match="other content"):
            publish(models, files={file: content + b"!" for file, content in FILES.items()})
        assert contents(models) == begun
    if manifest_stands:
        with pytest.raises(VersionExists, match=r"begun in .* with other content"):
            publish(models, model=small_spec(temperature=2.5))
        assert contents(models) == begun

    manifest = publish(models, created_at=second, source="another place")
    assert read_artifact(models.child("m/1")) == Artifact(manifest, FILES)
    expected = small_provenance(first, "one place") if manifest_stands else small_provenance(second, "another place")
    assert manifest.provenance == expected
    assert {key: contents(models)[key] for key in begun} == begun, "what was written stays as it is"


def test_a_manifest_in_another_layout_is_completed_as_it_stands(folder: Path) -> None:
    """Another release of the library that encodes it may space it differently."""
    encoded = json.dumps(json.loads((folder / MANIFEST).read_bytes())).encode()
    (folder / MANIFEST).write_bytes(encoded)
    (folder / MANIFEST_CHECKSUM).unlink()
    publish(open_storage(folder.parent.parent))
    assert (folder / MANIFEST).read_bytes() == encoded
    assert read_artifact(open_storage(folder)).files == FILES


@on_both
def test_two_that_publish_the_same_content_at_the_same_time_both_succeed(models: Storage) -> None:
    def other() -> None:
        publish(models, created_at="2026-01-01T00:00:01Z", source="other")

    late = once_before_write_of(models, MANIFEST, other)
    assert publish(late, source="late").provenance.source == "other"
    assert read_artifact(models.child("m/1")).files == FILES


@on_both
def test_of_many_that_publish_other_content_one_wins_whole(models: Storage) -> None:
    num_writers = 6
    barrier = threading.Barrier(num_writers)

    def write(number: int) -> int | None:
        files = {file: content + bytes([number]) for file, content in FILES.items()}
        barrier.wait()
        try:
            publish(models, files=files)
        except VersionExists:
            return None
        return number

    with ThreadPoolExecutor(num_writers) as pool:
        winners = [number for number in pool.map(write, range(num_writers)) if number is not None]
    assert len(winners) == 1
    expected = {file: content + bytes([winners[0]]) for file, content in FILES.items()}
    assert read_artifact(models.child("m/1")).files == expected


# ------------------------------------------------------------------------------------------------- the current version


def current(models: Storage) -> str:
    return read_artifact(resolve(models.child("m"))).manifest.version


@on_both
def test_roll_back_flips_to_the_version_before_and_forth(models: Storage) -> None:
    for version in ("1", "2", "3"):
        publish(models, version)
        set_current(models, name="m", version=version)
        assert current(models) == version
    assert roll_back(models, name="m") == "2"
    assert current(models) == "2"
    assert roll_back(models, name="m") == "3"
    assert current(models) == "3"


def test_there_is_nothing_to_roll_back_to_at_first(models: Storage) -> None:
    with pytest.raises(ArtifactError, match="no current version"):
        roll_back(models, name="m")
    publish(models)
    with pytest.raises(ArtifactError, match="no current version"):
        roll_back(models, name="m")
    set_current(models, name="m", version="1")
    with pytest.raises(ArtifactError, match="nothing to go back to"):
        roll_back(models, name="m")
    assert current(models) == "1"


def test_setting_the_current_version_again_keeps_the_way_back(models: Storage) -> None:
    for version in ("1", "2"):
        publish(models, version)
        set_current(models, name="m", version=version)
    set_current(models, name="m", version="2")
    assert roll_back(models, name="m") == "1"


def test_an_unpublished_version_cannot_become_current(models: Storage) -> None:
    publish(models)
    set_current(models, name="m", version="1")
    before = contents(models)
    with pytest.raises(ArtifactError, match="version 2 of m is not published"):
        set_current(models, name="m", version="2")
    assert contents(models) == before


def test_a_removed_version_cannot_be_rolled_back_to(models: Storage) -> None:
    for version in ("1", "2"):
        publish(models, version)
        set_current(models, name="m", version=version)
    models.delete(f"m/1/{MANIFEST_CHECKSUM}")
    with pytest.raises(ArtifactError, match="version 1 of m is not published"):
        roll_back(models, name="m")
    assert current(models) == "2"


@on_both
@pytest.mark.parametrize("before", [(), ("1", "2")])
def test_a_flip_that_meets_another_is_refused(models: Storage, before: tuple[str, ...]) -> None:
    for version in ("1", "2", "3", "4"):
        publish(models, version)
    for version in before:
        set_current(models, name="m", version=version)
    late = once_before_write_of(models, CURRENT, lambda: set_current(models, name="m", version="3"))
    with pytest.raises(PreconditionFailed):
        set_current(late, name="m", version="4")
    assert current(models) == "3", "who came first stays"


@on_both
@pytest.mark.parametrize("moment", [once_after_read_of, once_before_write_of])
def test_a_roll_back_that_meets_a_flip_is_refused(
    models: Storage, moment: Callable[[Storage, str, Callable[[], object]], Storage]
) -> None:
    for version in ("1", "2", "3"):
        publish(models, version)
    for version in ("1", "2"):
        set_current(models, name="m", version=version)
    late = moment(models, CURRENT, lambda: set_current(models, name="m", version="3"))
    with pytest.raises(PreconditionFailed):
        roll_back(late, name="m")
    assert current(models) == "3"
    assert roll_back(models, name="m") == "2", "the flip's own way back stands"


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"version": 1}', b'{"version": "../x"}', b'{"version": ""}', b"\xff"]
)
def test_a_current_version_that_cannot_be_read_is_corrupt(models: Storage, content: bytes) -> None:
    publish(models)
    models.write(f"m/{CURRENT}", content)
    for operation in (
        lambda: resolve(models.child("m")),
        lambda: roll_back(models, name="m"),
        lambda: set_current(models, name="m", version="1"),
    ):
        with pytest.raises(ArtifactCorrupt, match=CURRENT):
            operation()


@on_both
def test_resolve_takes_a_version_or_a_model(models: Storage) -> None:
    for version in ("1", "2"):
        publish(models, version)
        set_current(models, name="m", version=version)
    assert resolve(models.child("m/1")).url == f"{models.url}/m/1"
    assert resolve(models.child("m")).url == f"{models.url}/m/2"
    assert resolve(open_storage(f"{models.url}/m")).url == f"{models.url}/m/2"


def test_resolve_says_what_it_looked_for(models: Storage) -> None:
    with pytest.raises(ArtifactError, match=f"{MANIFEST}.*{CURRENT}"):
        resolve(models.child("m"))
    publish(models)
    with pytest.raises(ArtifactError, match=f"{MANIFEST}.*{CURRENT}"):
        resolve(models.child("m"))
