"""Stage pretrain: phase 1, the network learns what radiographs look like; nobody has labelled any.

Reads the cached images of the development set. Writes `pretrain/weights.safetensors`, `pretrain/initial_weights.json`,
`pretrain/history.jsonl` (a line per epoch, there while it is at work) and `pretrain/history.png`; keeps
`pretrain/checkpoint.safetensors` while it is at work.
"""

import logging

import torch

from samx.network import Network
from training import distribution, plots, pretraining
from training.dataset import load_dataset
from training.initial_weights import load_initial_weights
from training.loop import save_network
from training.run import Run
from training.watching import json_lines

logger = logging.getLogger(__name__)


def pretrain(run: Run) -> None:
    """Train the backbone by the configured objective, from the configured initial weights."""
    config = run.config.pretrain
    development = load_dataset(run, "development")
    torch.manual_seed(run.config.seed)
    network = Network(run.config.phase_1_architecture, num_classes=0)
    initial = load_initial_weights(network, backbone=run.config.architecture.backbone, config=config.init)
    logger.info(
        "pretrain: %d radiographs, %s, initial weights %s, %d x %s",
        len(development), config.objective, initial.text, distribution.num_ranks(), run.device,
    )  # fmt: skip
    history = pretraining.train(run, network, development.images_NHW, development.rows, config, run.config.augmentation)
    save_network(run, "pretrain/weights.safetensors", network)
    run.write_json("pretrain/initial_weights.json", initial.model_dump() | {"text": initial.text})
    run.write(pretraining.HISTORY, json_lines(history))
    run.write(pretraining.HISTORY_PLOT, plots.pretraining_history(history))
    distribution.on_first_rank(lambda: run.storage.delete(pretraining.CHECKPOINT))
