"""Stage pretrain: phase 1, the network learns what radiographs look like; nobody has labelled any.

Reads the cached images of the development set. Writes `pretrain/weights.safetensors`, `pretrain/history.csv` and
`pretrain/history.png`; keeps `pretrain/checkpoint.safetensors` while it is at work.
"""

import logging

import torch

from samx.network import Network
from training import deep_clustering, plots
from training.dataset import load_dataset
from training.loop import Checkpoints, save_network
from training.run import Run

logger = logging.getLogger(__name__)


def pretrain(run: Run) -> None:
    """Train the backbone by deep clustering, from random weights."""
    development = load_dataset(run, "development")
    torch.manual_seed(run.config.seed)
    network = Network(run.config.architecture, num_classes=0)
    logger.info("pretrain: %d radiographs, random initial weights, %s", len(development), run.device)
    history = deep_clustering.train(run, network, development.images_NHW, run.config.pretrain, run.config.augmentation)
    save_network(run, "pretrain/weights.safetensors", network)
    run.write_csv("pretrain/history.csv", history, list(history[0]) if history else ["epoch"])
    run.write("pretrain/history.png", plots.pretraining_history(history))
    Checkpoints(run, "pretrain/checkpoint.safetensors").remove()
