"""A run made up of synthetic features and images, as far as the stage cluster; any size."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from samx.anatomy import ANATOMY

KINDS = ("hand", "wrist", "knee", "foot", "pelvis", "skull")
_SHARD = 512


def make_run(
    folder: Path,
    *,
    num_radiographs: int = 120,
    num_clusters: int = 12,
    size: int = 32,
    dim: int = 16,
    kinds: Sequence[str] = KINDS,
    strays: Mapping[int, str] | None = None,
    tags: bool = True,
    seed: int = 0,
) -> list[str]:
    """Write the run to `folder/run`, sources to `folder/source`; returns the true label of every radiograph.

    Args:
        folder: where.
        num_radiographs: positions 0, 1, 2 ...; radiograph `i` is in cluster `i % num_clusters`.
        num_clusters: cluster `c` shows the kind `c % len(kinds)`.
        size: of the cached images.
        dim: of the features.
        kinds: labels.
        strays: true kind of single radiographs, by position, that lie in a cluster of another kind.
        tags: whether the files say what they show.
        seed: of everything random.
    """
    generator = np.random.default_rng(seed)
    run, source = folder / "run", folder / "source"
    cluster_N = np.arange(num_radiographs) % num_clusters
    truth = [kinds[cluster % len(kinds)] for cluster in cluster_N.tolist()]
    for position, kind in (strays or {}).items():
        truth[position] = kind
    directions = np.linalg.qr(generator.standard_normal((max(dim, len(kinds)), dim)))[0][: len(kinds)]
    kind_N = np.array([kinds.index(kind) for kind in truth])
    middle_CD = 0.15 * generator.standard_normal((num_clusters, dim)) / np.sqrt(dim)
    features = directions[kind_N] + middle_CD[cluster_N]
    features += 0.1 * generator.standard_normal((num_radiographs, dim)) / np.sqrt(dim)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    keys = [f"{position:06d}.png" for position in range(num_radiographs)]
    _write_index(run, keys, truth, size, generator, tags=tags)
    for name, content in (
        ("index/summary.json", {"num_shards": -(-num_radiographs // _SHARD)}),
        ("cluster/summary.json", {"num_clusters": num_clusters}),
        ("done/cluster.json", {}),
        ("done/index.json", {"inputs": {"configuration": {"source": str(source)}}}),
    ):
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    np.save(run / "cluster/features.npy", features.astype(np.float32))
    rows = [{"key": key, "cluster_id": cluster} for key, cluster in zip(keys, cluster_N.tolist(), strict=True)]
    _write_csv(run / "cluster/assignments.csv", rows)
    return truth


def _write_index(
    run: Path, keys: Sequence[str], truth: Sequence[str], size: int, generator: np.random.Generator, *, tags: bool
) -> None:
    rows = [
        {
            "key": key,
            "sha256": hashlib.sha256(key.encode()).hexdigest(),
            "format": "png",
            "rows": "200",
            "columns": "100",
            "patient": "0123456789abcdef",
            "site": f"Site {position % 3}",
            "body_part_examined": ANATOMY[kind].body_part_examined if tags and kind in ANATOMY else "",
            "view_position": "AP" if tags else "",
            "laterality": "",
            "described_label": "",
        }
        for position, (key, kind) in enumerate(zip(keys, truth, strict=True))
    ]
    _write_csv(run / "index/index.csv", rows)
    for number, start in enumerate(range(0, len(keys), _SHARD)):
        _write_csv(run / f"index/shards/rows-{number:05d}.csv", rows[start : start + _SHARD])
        shape = (len(rows[start : start + _SHARD]), size, size)
        images = generator.integers(0, 60, shape, dtype=np.uint8)
        images += np.arange(start, start + shape[0], dtype=np.uint32).astype(np.uint8)[:, None, None] % 190
        np.save(run / f"index/images-{number:05d}.npy", images)


def _write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
