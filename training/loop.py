"""What the training loops of both phases share: batches, schedule, checked steps, progress, checkpoints."""

import io
import json
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from tqdm import tqdm

from samx.errors import ObjectNotFound, SamxError
from samx.network import Network, to_input
from training.run import Run


def cosine_schedule(step: int, num_steps: int, *, warmup: float = 0.1) -> float:
    """Factor of the learning rate: linear over the first tenth, then half a cosine (Loshchilov and Hutter 2017)."""
    warmup_steps = max(1, round(num_steps * warmup))
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, num_steps - warmup_steps)))


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 where it is safe: twice the speed on CPUs with AVX-512 and on GPUs."""
    return torch.autocast(device.type, dtype=torch.bfloat16)


def train_step(loss: Tensor, modules: nn.Module, optimizer: torch.optim.Optimizer, *, where: str) -> float:
    """One step of the optimizer; returns the loss.

    Raises:
        SamxError: loss or gradient is not finite; no step was made. `where` names epoch and step.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(modules.parameters(), 5.0)
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise SamxError(
            f"{where}: loss {float(loss.detach())} or gradient norm {float(norm)} is not finite; lower the rate"
        )
    optimizer.step()
    return float(loss.detach())


def adamw(module: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); biases and normalisation are not decayed."""
    decayed = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def epochs(total: int, *, first: int, description: str) -> "tqdm[int]":
    """Progress bar over epochs with rate and time left."""
    return tqdm(range(first, total), initial=first, total=total, desc=description, unit="epoch", dynamic_ncols=True)


def compute_features(
    forward: Callable[[Tensor], Tensor],
    images_NHW: Tensor,
    device: torch.device,
    *,
    batch_size: int = 256,
    precise: bool = False,
) -> Tensor:
    """`forward` of all images without augmentation, `(N, ...)` float32 on the CPU; `precise`: no bfloat16."""
    with torch.inference_mode(), nullcontext() if precise else autocast(device):
        return torch.cat(
            [forward(to_input(batch, device)).float().cpu() for batch in torch.split(images_NHW, batch_size)]
        )


def batches(order_N: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Index batches of equal size; a last incomplete one is left out unless it is the only one."""
    whole = len(order_N) // batch_size * batch_size
    yield from torch.split(order_N[:whole] if whole else order_N, batch_size)


class Checkpoints:
    """State of a loop after each epoch, so that an interrupted one continues where it was and ends the same.

    One file, replaced atomically: tensors in safetensors, the epoch and the history in its metadata.
    """

    def __init__(self, run: Run, key: str) -> None:
        self._run, self._key = run, key

    def save(
        self,
        epoch: int,
        history: list[dict[str, float]],
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        **extra: Tensor,
    ) -> None:
        """Save after `epoch` (counted from 0), then stop here if a signal asked for it."""
        tensors = {f"module.{key}": value for key, value in module.state_dict().items()}
        state = optimizer.state_dict()["state"]
        tensors |= {f"optimizer.{index}.{key}": value for index, slots in state.items() for key, value in slots.items()}
        tensors |= {f"extra.{key}": value for key, value in extra.items()}
        tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        metadata = {"epoch": str(epoch), "history": json.dumps(history)}
        self._run.storage.write(self._key, safetensors.torch.save(tensors, metadata))
        self._run.check_stop()

    def load(
        self, module: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[int, list[dict[str, float]], dict[str, Tensor]]:
        """Restore the last state; returns the next epoch, the history and the extra tensors."""
        try:
            data = self._run.read(self._key)
        except ObjectNotFound:
            return 0, [], {}
        tensors = safetensors.torch.load(data)
        metadata = _metadata(data)
        module.load_state_dict({k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")})
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, slot = key.split(".", 2)
                slots.setdefault(int(index), {})[slot] = value
        state = optimizer.state_dict()
        state["state"] = slots
        optimizer.load_state_dict(state)
        extra = {k.removeprefix("extra."): v for k, v in tensors.items() if k.startswith("extra.")}
        return int(metadata["epoch"]) + 1, json.loads(metadata["history"]), extra

    def remove(self) -> None:
        """Delete the state; the stage's own files say the rest."""
        self._run.storage.delete(self._key)


def _metadata(data: bytes) -> dict[str, str]:
    """Metadata of a safetensors file: its header is JSON, behind its length in eight bytes."""
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(io.BytesIO(data[8 : 8 + length]).read())
    metadata: dict[str, str] = header["__metadata__"]
    return metadata


def save_network(run: Run, key: str, network: Network) -> None:
    """Write a network's weights."""
    run.write(key, safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}))
