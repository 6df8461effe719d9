"""Stage cluster: sort the development set into the clusters that a person will name.

Reads the images and the weights of phase 1. Writes `cluster/features.npy` (what was clustered, unit vectors),
`cluster/assignments.csv`, `cluster/clusters.csv`, `cluster/sheets/*.png` (contact sheets, a row per cluster) and
`cluster/summary.json`.
"""

import numpy as np
import safetensors.torch
import torch

from samx.errors import WrongInput
from samx.network import Network
from training import distribution, plots
from training.dataset import load_dataset
from training.features import concatenate_unit, hog_features, learned_features, principal_components
from training.metrics import agreement, purity, purity_by_chance
from training.pseudo_labels import Clustering, hierarchy_seeds, spherical_kmeans
from training.run import Run

_CLUSTERS_PER_SHEET = 12


def cluster(run: Run) -> None:
    """Cluster the features of whole images by spherical k-means, started from a hierarchy. Collective.

    Raises:
        WrongInput: fewer radiographs than clusters.
    """
    config = run.config.cluster
    development = load_dataset(run, "development")
    if len(development) < max(config.num_clusters, config.fine_clusters):
        raise WrongInput(
            f"cluster.num_clusters is {config.num_clusters} and fine_clusters {config.fine_clusters}, but there are "
            f"{len(development)} radiographs to sort"
        )
    features_MD = _features(run, development.images_NHW[distribution.own_part(len(development))])
    generator = run.generator("cluster")
    seeds_KD = hierarchy_seeds(
        [features_MD],
        config.num_clusters,
        generator,
        linkage=config.linkage,
        fine_clusters=config.fine_clusters,
        concentration=config.concentration,
    )
    found = _kmeans(run, features_MD, generator, seeds_KD)
    other = _kmeans(run, features_MD, run.generator("cluster", "another seed"), None)
    assigned, similarity, assigned_by_other, features_ND = (
        distribution.concatenate(part).cpu().numpy()
        for part in (found.assignments_N, found.similarities_N, other.assignments_N, features_MD)
    )
    run.write_array("cluster/features.npy", features_ND)
    run.write_csv(
        "cluster/assignments.csv",
        [
            {"key": key, "cluster_id": int(cluster_id), "similarity": f"{value:.6f}"}
            for key, cluster_id, value in zip(development.keys, assigned, similarity, strict=True)
        ],
        ("key", "cluster_id", "similarity"),
    )
    members = [np.flatnonzero(assigned == cluster_id) for cluster_id in range(config.num_clusters)]
    sites = [row["site"] for row in development.rows]
    run.write_csv(
        "cluster/clusters.csv",
        [
            {
                "cluster_id": cluster_id,
                "size": len(chosen),
                "mean_similarity": f"{similarity[chosen].mean():.4f}" if len(chosen) else "",
                "num_sites": len({sites[index] for index in chosen}),
            }
            for cluster_id, chosen in enumerate(members)
        ],
        ("cluster_id", "size", "mean_similarity", "num_sites"),
    )
    _write_sheets(run, development.images_NHW, members)
    summary = {
        "num_clusters": config.num_clusters,
        "num_radiographs": len(development),
        "mean_similarity": found.mean_similarity,
        "num_iterations": found.num_iterations,
        "num_reseeded": found.num_reseeded,
        "largest": max(map(len, members)),
        "smallest": min(map(len, members)),
        "agreement_with_another_seed": agreement(assigned.tolist(), assigned_by_other.tolist()),
    }
    if len(set(sites)) > 1:
        summary["site_purity"] = purity(assigned.tolist(), sites)
        summary["site_purity_by_chance"] = purity_by_chance(assigned.tolist(), sites)
    run.write_json("cluster/summary.json", summary)


def _features(run: Run, images_MHW: torch.Tensor) -> torch.Tensor:
    """What is clustered, unit vectors: each kind of feature that has a weight, reduced, side by side."""
    config = run.config.cluster
    parts = []
    if config.learned_weight:
        network = Network(run.config.phase_1_architecture, num_classes=0)
        network.load_state_dict(safetensors.torch.load(run.read("pretrain/weights.safetensors")))
        network = network.to(run.device).eval()
        learned_MD = learned_features(network, images_MHW, run.device, config.pca_dim, num_cells=config.learned_cells)
        parts.append((learned_MD, config.learned_weight))
    if config.hog_weight:
        hog_MD = hog_features(images_MHW, run.device, config.pca_dim, num_cells=config.hog_cells)
        parts.append((hog_MD, config.hog_weight))
    if config.pixel_weight:
        pixels_MD = images_MHW.flatten(1).float() / 255.0
        parts.append((principal_components(pixels_MD, config.pca_dim), config.pixel_weight))
    return concatenate_unit(parts).to(run.device)


def _kmeans(
    run: Run, features_MD: torch.Tensor, generator: torch.Generator, initial_KD: torch.Tensor | None
) -> Clustering:
    config = run.config.cluster
    return spherical_kmeans(
        [features_MD],
        config.num_clusters,
        iterations=config.kmeans_iterations,
        generator=generator,
        initial_KD=initial_KD,
        smallest=config.smallest_cluster,
    )


def _write_sheets(run: Run, images_NHW: torch.Tensor, members: list[np.typing.NDArray[np.intp]]) -> None:
    """A random sample of every cluster: the nearest to the centroid alone would flatter."""
    columns = run.config.cluster.sheet_columns
    for first in range(0, len(members), _CLUSTERS_PER_SHEET):
        rows = []
        for cluster_id in range(first, min(first + _CLUSTERS_PER_SHEET, len(members))):
            order = torch.randperm(len(members[cluster_id]), generator=run.generator("sheet", cluster_id)).numpy()
            chosen = members[cluster_id][order[:columns]]
            rows.append((f"cluster {cluster_id}\n{len(members[cluster_id])}", images_NHW[chosen].numpy()))
        run.write(f"cluster/sheets/sheet-{first // _CLUSTERS_PER_SHEET:03d}.png", plots.contact_sheet(rows, columns))
