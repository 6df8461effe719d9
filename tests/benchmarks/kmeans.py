"""k-means at size: one table row per run, with peak memory beyond what the features need.

    python -m tests.benchmarks.kmeans paper        42,608 x 2048 to 1000 clusters, beside scikit-learn, in one process
    python -m tests.benchmarks.kmeans streamed     10,000,000 x 256 to 1000 clusters from float16 shards in FOLDER
    python -m tests.benchmarks.kmeans streamed --num-features 1000000

Features are unit vectors around 2000 random directions. On a GPU with `--device cuda`.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional

from training.pseudo_labels import Clustering, kmeans_plus_plus, spherical_kmeans

NUM_CLUSTERS = 1000
SHARD = 250_000


class Shards(Sequence[Tensor]):
    """float16 features in files; each is read when it is asked for."""

    def __init__(self, paths: list[Path], device: str) -> None:
        self._paths, self._device = paths, device

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        return torch.from_numpy(np.load(self._paths[index])).to(self._device).float()


def features(count: int, dim: int, seed: int, centres_KD: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    nearest = torch.randint(len(centres_KD), (count,), generator=generator)
    return functional.normalize(
        centres_KD[nearest] + torch.randn(count, dim, generator=generator) * (0.9 / dim**0.5), dim=1
    )


def centres(dim: int) -> Tensor:
    return functional.normalize(torch.randn(2 * NUM_CLUSTERS, dim, generator=torch.Generator().manual_seed(0)), dim=1)


def paper(device: str, iterations: int) -> None:
    features_ND = features(42_608, 2048, 1, centres(2048)).to(device)
    generator = torch.Generator().manual_seed(2)
    started = time.perf_counter()
    seeds_KD = kmeans_plus_plus([features_ND], NUM_CLUSTERS, generator)
    seeded = time.perf_counter()
    found = spherical_kmeans(
        [features_ND], NUM_CLUSTERS, iterations=iterations, generator=generator, initial_KD=seeds_KD.clone()
    )
    ended = time.perf_counter()
    print(f"k-means++ on a sample {seeded - started:.1f} s; {found.num_iterations} passes {ended - seeded:.1f} s; "
          f"mean similarity {found.mean_similarity:.4f}")  # fmt: skip
    other = KMeans(NUM_CLUSTERS, init=seeds_KD.cpu().numpy(), n_init=1, max_iter=iterations, tol=0, algorithm="lloyd")
    array = features_ND.cpu().numpy()
    started = time.perf_counter()
    other.fit(array)
    theirs = time.perf_counter() - started
    directions_KD = functional.normalize(torch.from_numpy(other.cluster_centers_), dim=1).numpy()
    similarity = float((array * directions_KD[other.labels_]).sum(1).mean())
    ratio = theirs / other.n_iter_ / ((ended - seeded) / found.num_iterations)
    print(f"scikit-learn from the same seeds: {other.n_iter_} iterations {theirs:.1f} s; mean similarity "
          f"{similarity:.4f}; time per pass, theirs / ours: {ratio:.2f}")  # fmt: skip


def streamed(device: str, iterations: int, count: int, folder: Path) -> None:
    paths, directions = [], centres(256)
    for number, start in enumerate(range(0, count, SHARD)):
        paths.append(folder / f"features-{number:04d}.npy")
        if not paths[-1].exists():
            np.save(paths[-1], features(min(SHARD, count - start), 256, 10 + number, directions).half().numpy())
    before = _peak_mib()
    started = time.perf_counter()
    found: Clustering = spherical_kmeans(
        Shards(paths, device), NUM_CLUSTERS, iterations=iterations, generator=torch.Generator().manual_seed(2)
    )
    seconds = time.perf_counter() - started
    print(f"{count:,} x 256 ({count * 512 / 2**30:.1f} GiB on disk): {seconds:.0f} s for seeding and "
          f"{found.num_iterations} passes, {seconds / found.num_iterations:.1f} s per pass; mean similarity "
          f"{found.mean_similarity:.4f}; peak memory {_peak_mib():.0f} MiB ({before:.0f} before)")  # fmt: skip


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["paper", "streamed"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--num-features", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where the shards are made and kept; else a temporary one")
    options = parser.parse_args()
    if options.what == "paper":
        paper(options.device, options.iterations)
    elif options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        streamed(options.device, options.iterations, options.num_features, options.folder)
    else:
        with tempfile.TemporaryDirectory() as folder:
            streamed(options.device, options.iterations, options.num_features, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
