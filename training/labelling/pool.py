"""What is read of a run to label it: radiographs, features, clusters; and pictures of the radiographs.

Pictures are read one by one from the cached images, so that a server of forty thousand radiographs stays small: in a
folder from the shards' files themselves, of a bucket from copies in a temporary folder, a shard at a time when it is
first needed.
"""

import io
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from samx.errors import ObjectNotFound, RadiographError, WrongInput
from samx.radiograph import read_radiograph
from samx.storage import LocalStorage, Storage, open_storage
from training.dataset import images_key
from training.run import read_json, read_table

VIEWER_SIZE = 1024
"""Long side of a radiograph in the viewer, in pixels."""

_JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Pool:
    """The development set of a run; a radiograph's position is its row in `cluster/assignments.csv`."""

    storage: Storage
    """Of the run."""
    source: str
    """Folder or s3:// URL of the radiographs."""
    rows: Sequence[dict[str, str]]
    """Of the index."""
    features_ND: npt.NDArray[np.float32]
    """What was clustered, unit vectors."""
    cluster_N: npt.NDArray[np.int64]
    """As phase 1 left it."""
    image_rows: npt.NDArray[np.int64]
    """Row of each radiograph in the cached images of the whole index."""
    shard_starts: Sequence[int]
    """First row of every shard of cached images."""

    @property
    def keys(self) -> list[str]:
        """Where each radiograph is stored, relative to the source."""
        return [row["key"] for row in self.rows]


def load_pool(url: str) -> Pool:
    """Read what the stages index, split and cluster left in a run.

    Raises:
        WrongInput: the stage cluster is not done there.
        StorageError: the run is out of reach.
    """
    storage = open_storage(url)
    if not storage.exists("done/cluster.json"):
        raise WrongInput(f"{storage.url} has no clusters yet; run `python -m training run` with this run first")
    index = read_table(storage, "index/index.csv")
    row_of = {row["key"]: number for number, row in enumerate(index)}
    assignments = read_table(storage, "cluster/assignments.csv")
    image_rows = np.array([row_of[row["key"]] for row in assignments], np.int64)
    num_shards = int(read_json(storage, "index/summary.json")["num_shards"])
    lengths = [len(read_table(storage, f"index/shards/rows-{number:05d}.csv")) for number in range(num_shards)]
    return Pool(
        storage=storage,
        source=str(read_json(storage, "done/index.json")["inputs"]["configuration"]["source"]),
        rows=[index[number] for number in image_rows.tolist()],
        features_ND=np.load(io.BytesIO(storage.read("cluster/features.npy")), allow_pickle=False),
        cluster_N=np.array([int(row["cluster_id"]) for row in assignments], np.int64),
        image_rows=image_rows,
        shard_starts=[0, *np.cumsum(lengths).tolist()][:-1],
    )


class Pictures:
    """Pictures of the radiographs of a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        is_local = isinstance(pool.storage, LocalStorage)
        self._copies = None if is_local else tempfile.TemporaryDirectory(prefix="samx-labelling-")
        self._lock = threading.Lock()
        self._source = open_storage(pool.source)

    def close(self) -> None:
        """Remove the copies of shards."""
        if self._copies is not None:
            self._copies.cleanup()

    @property
    def tile_size(self) -> int:
        """Side of a cached image in pixels."""
        return len(self.image(0))

    def image(self, position: int) -> npt.NDArray[np.uint8]:
        """The cached image of a radiograph, `(S, S)`."""
        row = int(self._pool.image_rows[position])
        shard = int(np.searchsorted(self._pool.shard_starts, row, side="right")) - 1
        # Mapped for this one read: what stays mapped counts as this process's memory.
        images = np.load(self._file(shard), mmap_mode="r", allow_pickle=False)
        return np.array(images[row - self._pool.shard_starts[shard]])

    def sprite(self, positions: Sequence[int], columns: int) -> bytes:
        """Cached images side by side in rows of `columns`, as JPEG: pixels alone, no attribute."""
        size = self.tile_size
        num_rows = -(-len(positions) // columns)
        sheet = np.zeros((num_rows * size, min(columns, len(positions)) * size), np.uint8)
        for place, position in enumerate(positions):
            top, left = place // columns * size, place % columns * size
            sheet[top : top + size, left : left + size] = self.image(position)
        buffer = io.BytesIO()
        Image.fromarray(sheet).save(buffer, "JPEG", quality=_JPEG_QUALITY)
        return buffer.getvalue()

    def radiograph(self, position: int) -> bytes:
        """A radiograph as a PNG that keeps 16 bits: red is the high byte of the grey level, green the low one.

        Raises:
            ObjectNotFound: it is no longer in the source, or can no longer be read.
            StorageError: the source is out of reach.
        """
        data = self._source.read(self._pool.rows[position]["key"])
        try:
            pixels = read_radiograph(data, working_size=VIEWER_SIZE).pixels
        except RadiographError as error:
            raise ObjectNotFound(f"the radiograph can no longer be read: {error.detail}") from error
        levels = np.rint(pixels * 65535).astype(np.uint16)
        rgb = np.stack([levels >> 8, levels & 255, np.zeros_like(levels)], axis=-1).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    def _file(self, shard: int) -> Path:
        key = images_key(shard)
        if isinstance(self._pool.storage, LocalStorage):
            return self._pool.storage.folder / key
        assert self._copies is not None, "made for buckets"
        copy = Path(self._copies.name, f"{shard}.npy")
        with self._lock:
            if not copy.exists():
                part = copy.with_suffix(".part")
                part.write_bytes(self._pool.storage.read(key))
                part.rename(copy)
        return copy


def name_of(row: dict[str, str]) -> str:
    """What a radiograph is called on the page: the first digits of its content's sha256; keys may hold names."""
    return row["sha256"][:8]
