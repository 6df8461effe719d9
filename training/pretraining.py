"""Phase 1's loop, the same for every objective: cluster the whole set, watch, learn for an epoch, again.

All ranks walk through the same batches in the same order; each computes its part of a batch. Views depend on seed,
epoch and step alone, so neither an interruption nor the number of ranks changes what is learned.

Shape suffixes: N radiographs of all ranks, M of this rank, B of a batch, D dimensions.
"""

import logging
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from samx.errors import WrongInput
from samx.network import Network
from training import distribution, plots
from training.augmentation import AugmentationConfig, random_views
from training.barlow_twins import BarlowTwins
from training.batch_norm import synchronise_batch_norm
from training.config import PretrainConfig
from training.deep_clustering import DeepClustering
from training.features import concatenate_unit, hog_features
from training.loop import (
    Checkpoints,
    Progress,
    adamw,
    autocast,
    batches,
    compute_features,
    cosine_schedule,
    epochs,
    prefetched,
    sampling_weights,
    set_learning_rate,
    train_step,
)
from training.pseudo_labels import Clustering, mean_directions, sample, spherical_kmeans
from training.run import Run
from training.simclr import SimCLR
from training.watching import Row, clustering_row, json_lines, neighbour_row, stop_if_collapsed

logger = logging.getLogger(__name__)

Objective = DeepClustering | SimCLR | BarlowTwins

CHECKPOINT = "pretrain/checkpoint.safetensors"
HISTORY, HISTORY_PLOT = "pretrain/history.jsonl", "pretrain/history.png"

_SMALLEST_PSEUDO_CLASS = 3
_NEIGHBOUR_SAMPLE = 5_000
_SECONDS_BETWEEN_PLOTS = 30.0


def train(
    run: Run,
    network: Network,
    images_NHW: Tensor,
    rows: Sequence[dict[str, str]],
    config: PretrainConfig,
    augmentation: AugmentationConfig,
) -> list[Row]:
    """Train `network` in place; resumes from the run's checkpoint. Collective.

    Args:
        run: gives device, random generators and the place of checkpoint and history.
        network: without a head, the same on every rank.
        images_NHW: the development set, preprocessed, uint8; the same on every rank.
        rows: of the index, for watching only: nothing of them is learned from.
        config: of phase 1.
        augmentation: of the views.

    Returns:
        One row per epoch; see training.watching.

    Raises:
        WrongInput: the batch cannot be divided among the ranks.
        SamxError: the loss is not finite, or the network learns nothing.
        Interrupted: a signal asked to stop; the checkpoint holds the last step.
    """
    if config.batch_size % distribution.num_ranks():
        num_ranks = distribution.num_ranks()
        raise WrongInput(f"pretrain.batch_size is {config.batch_size}, which {num_ranks} processes cannot share evenly")
    device = run.device
    objective = objective_of(network, config, len(images_NHW)).to(device)
    objective = objective.double() if config.precision == "float64" else objective
    objective = objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    synchronise_batch_norm(objective, device)
    optimizer = adamw(objective, learning_rate=config.learning_rate, weight_decay=config.weight_decay)
    checkpoints = Checkpoints(run, CHECKPOINT, objective, optimizer)
    progress = checkpoints.load()
    trained: nn.Module = objective
    if distribution.num_ranks() > 1:
        trained = DistributedDataParallel(objective)
    own_images_MHW = images_NHW[distribution.own_part(len(images_NHW))]
    hog_MD = hog_features(own_images_MHW, device) if config.hog_weight else None
    plotted = time.monotonic()
    bar = epochs(config.epochs, first=progress.epoch, description="phase 1")
    for _ in bar:
        if progress.step == 0:
            _begin_epoch(run, objective, own_images_MHW, hog_MD, rows, config, progress)
        assignments_N = progress.tensors["assignments_N"]
        learn_epoch(run, trained, optimizer, images_NHW, assignments_N, config, augmentation, progress, checkpoints)
        progress.end_epoch(_whole_row(progress))
        checkpoints.save(progress)
        run.write(HISTORY, json_lines(progress.history))
        if time.monotonic() - plotted > _SECONDS_BETWEEN_PLOTS:
            run.write(HISTORY_PLOT, plots.pretraining_history(progress.history))
            plotted = time.monotonic()
        stop_if_collapsed(progress.history, config.epochs, objective.loss_of_guessing(config.batch_size))
        bar.set_postfix(loss=f"{progress.history[-1]['loss']:.3f}")
        run.check_stop_of_any_rank()
    network.float()
    return progress.history


def objective_of(network: Network, config: PretrainConfig, num_radiographs: int) -> Objective:
    """The objective that the configuration names, around the network."""
    match config.objective:
        case "deep_clustering":
            return DeepClustering(network, config, num_clusters(config, num_radiographs))
        case "simclr":
            return SimCLR(network, config)
        case "barlow_twins":
            return BarlowTwins(network, config)


def num_clusters(config: PretrainConfig, num_radiographs: int) -> int:
    """Pseudo-classes; fewer than configured where that would leave less than two radiographs for each."""
    return min(config.num_prototypes, num_radiographs // 2)


def _begin_epoch(
    run: Run,
    objective: Objective,
    own_images_MHW: Tensor,
    hog_MD: Tensor | None,
    rows: Sequence[dict[str, str]],
    config: PretrainConfig,
    progress: Progress,
) -> None:
    """Cluster the whole set, starting from the clusters of the epoch before, and note what they look like."""
    objective.eval()
    projected_MD = compute_features(objective.project, own_images_MHW, run.device, precision=config.precision)
    parts = [(projected_MD, 1.0)] + ([(hog_MD, config.hog_weight)] if hog_MD is not None else [])
    features_MD = concatenate_unit(parts).to(run.device)
    before_N = progress.tensors.get("assignments_N")
    clustering = _cluster(run, features_MD, before_N, num_clusters(config, len(rows)), config, progress.epoch)
    assignments_N = distribution.concatenate(clustering.assignments_N).cpu()
    objective.begin_epoch(projected_MD.to(run.device), clustering.assignments_N)
    progress.tensors["assignments_N"] = assignments_N
    progress.row = {"epoch": progress.epoch} | clustering_row(clustering, assignments_N, before_N)
    sampled_SD, chosen_S = sample([projected_MD], _NEIGHBOUR_SAMPLE, run.generator("pretrain", "neighbours"))
    chosen = [rows[index] for index in chosen_S.tolist()]
    tags, sites = ([row[name] for row in chosen] for name in ("body_part_examined", "site"))
    progress.row |= neighbour_row(sampled_SD, tags, sites)


def _cluster(
    run: Run, features_MD: Tensor, before_N: Tensor | None, num_clusters: int, config: PretrainConfig, epoch: int
) -> Clustering:
    initial_KD = None
    if before_N is not None:
        own_M = before_N[distribution.own_part(len(before_N))].to(features_MD.device)
        initial_KD = mean_directions(features_MD, own_M, num_clusters)
    return spherical_kmeans(
        [features_MD],
        num_clusters,
        iterations=config.kmeans_iterations,
        generator=run.generator("pretrain", "k-means", epoch),
        initial_KD=initial_KD,
        smallest=_SMALLEST_PSEUDO_CLASS,
    )


def learn_epoch(
    run: Run,
    trained: nn.Module,
    optimizer: torch.optim.Optimizer,
    images_NHW: Tensor,
    assignments_N: Tensor,
    config: PretrainConfig,
    augmentation: AugmentationConfig,
    progress: Progress,
    checkpoints: Checkpoints,
) -> None:
    """The steps of an epoch from where `progress` is."""
    device = run.device
    order = list(batches(_order(run, assignments_N, config, progress.epoch), config.batch_size))
    num_steps = config.epochs * len(order)
    trained.train()
    for chosen_B, images_BHW in prefetched(images_NHW, [_own(batch) for batch in order[progress.step :]], device):
        generator = run.generator("pretrain", progress.epoch, progress.step)
        schedule = cosine_schedule(progress.epoch * len(order) + progress.step, num_steps)
        progress.row["learning_rate"] = config.learning_rate * schedule
        set_learning_rate(optimizer, config.learning_rate * schedule)
        views_B1HW = torch.cat([views_of(images_BHW, augmentation, generator) for _ in range(2)])
        with autocast(device, config.precision):
            losses = trained(views_B1HW, assignments_N[chosen_B].repeat(2).to(device))
        where = f"phase 1, epoch {progress.epoch}, step {progress.step}"
        train_step(losses["loss"], trained, optimizer, where=where)
        progress.losses.append({name: float(value.detach()) for name, value in losses.items()})
        progress.step += 1
        checkpoints.after_step(progress)


def _order(run: Run, assignments_N: Tensor, config: PretrainConfig, epoch: int) -> Tensor:
    """Every radiograph once; or, with `balance`, radiographs of small clusters more often than those of large ones."""
    generator = run.generator("pretrain", "order", epoch)
    if not config.balance:
        return torch.randperm(len(assignments_N), generator=generator)
    weights_N = sampling_weights(assignments_N, config.balance)
    return torch.multinomial(weights_N, len(assignments_N), replacement=True, generator=generator)


def _own(batch_B: Tensor) -> Tensor:
    """This rank's part of a batch; what cannot be shared evenly is left out."""
    shared = batch_B[: len(batch_B) // distribution.num_ranks() * distribution.num_ranks()]
    return shared[distribution.own_part(len(shared))]


def views_of(images_BHW: Tensor, augmentation: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """One view of each image of this rank's part of a batch, `(B, 1, H, W)`."""
    here = len(images_BHW)
    return random_views(
        images_BHW,
        augmentation,
        generator,
        offset=distribution.rank() * here,
        batch_size=distribution.num_ranks() * here,
    )


def _whole_row(progress: Progress) -> Row:
    """The epoch's row with the mean of its losses over steps and ranks."""
    names = list(progress.losses[0])
    totals = torch.tensor([[losses[name] for name in names] for losses in progress.losses], dtype=torch.float64)
    means = distribution.add_up(totals.mean(0)) / distribution.num_ranks()
    return progress.row | dict(zip(names, means.tolist(), strict=True))
