"""The loop of phase 2: radiographs drawn by weight, one view of each, and the moving average of the weights is kept.

Fine-tuning and distillation differ in what the answers are compared to, and give that.

Shape suffixes: N radiographs, B batch, K classes.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from samx.network import Network
from training.augmentation import AugmentationConfig, random_views
from training.config import DistillConfig, FinetuneConfig
from training.loop import (
    Checkpoints,
    adamw,
    autocast,
    cosine_schedule,
    epochs,
    fastest_precision,
    prefetched,
    set_learning_rate,
    train_step,
)
from training.run import Run

Logits = Mapping[str, Tensor]
"""By head, float32: see `Network.all_logits`."""
Loss = Callable[[Logits, Tensor, Tensor], Tensor]
"""Of logits, the views `(B, 1, H, W)` that they answer, and the radiographs' positions `(B,)`."""


def train_classifier(
    run: Run,
    network: Network,
    images_NHW: Tensor,
    weights_N: Tensor,
    loss_of: Loss,
    *,
    name: str,
    config: FinetuneConfig | DistillConfig,
    augmentation: AugmentationConfig,
) -> tuple[Network, list[dict[str, float]]]:
    """Train a network; resumes from the checkpoint `<name>/checkpoint.safetensors`.

    Args:
        run: gives device and random generators.
        network: with a head of K classes.
        images_NHW: preprocessed, uint8.
        weights_N: how often each is drawn, up to a factor.
        loss_of: what is made small.
        name: of the checkpoint, the random generators and the progress bar.
        config: epochs, batch size, rates, moving average.
        augmentation: of the views.

    Returns:
        The moving average of the network, in evaluation mode, and one row per epoch.

    Raises:
        SamxError: the loss is not finite.
        Interrupted: a signal asked to stop; the checkpoint holds the last step.
    """
    device = run.device
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    precision = fastest_precision(network, device)
    optimizer = adamw(network, learning_rate=config.learning_rate, weight_decay=config.weight_decay)
    checkpoints = Checkpoints(run, f"{name}/checkpoint.safetensors", network, optimizer)
    progress = checkpoints.load()
    average = {k: progress.tensors.get(k, v).to(device).clone() for k, v in network.state_dict().items()}
    progress.tensors = average
    steps_per_epoch = max(1, len(images_NHW) // config.batch_size)
    batch_size = min(config.batch_size, len(images_NHW))
    for epoch in epochs(config.epochs, first=progress.epoch, description=name):
        order_N = torch.multinomial(
            weights_N, steps_per_epoch * batch_size, replacement=True, generator=run.generator(name, "order", epoch)
        )
        network.train()
        todo = torch.split(order_N, batch_size)[progress.step :]
        for chosen_B, images_BHW in prefetched(images_NHW, todo, device):
            done = epoch * steps_per_epoch + progress.step
            set_learning_rate(optimizer, config.learning_rate * cosine_schedule(done, config.epochs * steps_per_epoch))
            views = random_views(images_BHW, augmentation, run.generator(name, epoch, progress.step))
            with autocast(device, precision):
                logits = network.all_logits(views)
            loss = loss_of({head: values.float() for head, values in logits.items()}, views, chosen_B)
            where = f"{name}, epoch {epoch}, step {progress.step}"
            progress.losses.append({"loss": train_step(loss, network, optimizer, where=where)})
            _update_average(average, network, min(config.ema_decay, (1 + done) / (10 + done)))
            progress.step += 1
            checkpoints.after_step(progress)
        mean_loss = sum(losses["loss"] for losses in progress.losses) / len(progress.losses)
        progress.end_epoch({"epoch": epoch, "loss": mean_loss})
        checkpoints.save(progress)
    network.load_state_dict(average)
    checkpoints.remove()
    return network.eval(), progress.history


def _update_average(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    """Exponential moving average of weights and running statistics (Polyak and Juditsky 1992)."""
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            average[key].lerp_(value, 1 - decay)
        else:
            average[key].copy_(value)
