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
from training import plots
from training.dataset import load_dataset
from training.features import concatenate_unit, hog_features, principal_components
from training.loop import compute_features
from training.pseudo_labels import spherical_kmeans, ward_seeds
from training.run import Run

_CLUSTERS_PER_SHEET = 12


def cluster(run: Run) -> None:
    """Cluster the features of whole images by spherical k-means, started from Ward's hierarchy.

    Raises:
        WrongInput: fewer radiographs than clusters.
    """
    config = run.config.cluster
    development = load_dataset(run, "development")
    if len(development) < config.num_clusters:
        raise WrongInput(
            f"cluster.num_clusters is {config.num_clusters}, but there are {len(development)} radiographs to sort"
        )
    network = Network(run.config.architecture, num_classes=0)
    network.load_state_dict(safetensors.torch.load(run.read("pretrain/weights.safetensors")))
    network = network.to(run.device).eval()
    learned_ND = compute_features(network.features, development.images_NHW, run.device)
    parts = [(principal_components(learned_ND, config.pca_dim), 1.0)]
    if config.hog_weight:
        parts.append((hog_features(development.images_NHW, run.device, config.pca_dim), config.hog_weight))
    features_ND = concatenate_unit(parts)
    generator = run.generator("cluster")
    found = spherical_kmeans(
        features_ND,
        config.num_clusters,
        iterations=config.kmeans_iterations,
        generator=generator,
        initial_KD=ward_seeds(features_ND, config.num_clusters, generator),
    )
    run.write_array("cluster/features.npy", features_ND.numpy())
    assigned, similarity = found.assignments_N.numpy(), found.similarities_N.numpy()
    run.write_csv(
        "cluster/assignments.csv",
        [
            {"key": key, "cluster_id": int(cluster_id), "similarity": f"{value:.6f}"}
            for key, cluster_id, value in zip(development.keys, assigned, similarity, strict=True)
        ],
        ("key", "cluster_id", "similarity"),
    )
    members = [np.flatnonzero(assigned == cluster_id) for cluster_id in range(config.num_clusters)]
    sites = np.array([row["site"] for row in development.rows])
    run.write_csv(
        "cluster/clusters.csv",
        [
            {
                "cluster_id": cluster_id,
                "size": len(chosen),
                "mean_similarity": f"{similarity[chosen].mean():.4f}" if len(chosen) else "",
                "num_sites": len(set(sites[chosen])),
            }
            for cluster_id, chosen in enumerate(members)
        ],
        ("cluster_id", "size", "mean_similarity", "num_sites"),
    )
    _write_sheets(run, development.images_NHW, members)
    run.write_json(
        "cluster/summary.json",
        {
            "num_clusters": config.num_clusters,
            "num_radiographs": len(development),
            "mean_similarity": found.mean_similarity,
            "num_reseeded": found.num_reseeded,
            "largest": max(map(len, members)),
            "smallest": min(map(len, members)),
        },
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
