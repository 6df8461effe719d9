"""What the training loops of both phases share: batches, schedule, checked steps, progress, checkpoints."""

import io
import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from tqdm import tqdm

from samx.errors import Interrupted, ObjectNotFound, SamxError
from samx.network import Network, to_input
from training import distribution
from training.config import Precision
from training.run import STOPPED, Run

_BATCHES_AHEAD = 2


def cosine_schedule(step: int, num_steps: int, *, warmup: float = 0.1) -> float:
    """Factor of the learning rate: linear over the first tenth, then half a cosine (Loshchilov and Hutter 2017)."""
    warmup_steps = max(1, round(num_steps * warmup))
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, num_steps - warmup_steps)))


def autocast(device: torch.device, precision: Precision = "bfloat16") -> AbstractContextManager[Any]:
    """bfloat16 where the hardware computes in it: twice the speed on CPUs with AVX-512 and on GPUs.

    Other CPUs emulate it, in thirteen times the time of float32: there, and in all other precisions, nothing is cast.
    """
    computes_in_it = device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16" and computes_in_it)


def fastest_precision(network: nn.Module, device: torch.device) -> Precision:
    """bfloat16, but float32 on a CPU where the network has depthwise convolutions, which take longer in bfloat16 there.

    A step of MobileNetV3 at 96 pixels, by one core with AVX-512 BF16: 5.3 ms a radiograph in place of 9.8.
    """
    is_depthwise = any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in network.modules())
    return "float32" if device.type == "cpu" and is_depthwise else "bfloat16"


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
    precision: Precision = "bfloat16",
) -> Tensor:
    """`forward` of all images without augmentation, `(N, ...)` float32 on the CPU."""
    with torch.inference_mode(), autocast(device, precision):
        return torch.cat(
            [forward(to_input(batch, device)).float().cpu() for batch in torch.split(images_NHW, batch_size)]
        )


def batches(order_N: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Index batches of equal size; a last incomplete one is left out unless it is the only one."""
    whole = len(order_N) // batch_size * batch_size
    yield from torch.split(order_N[:whole] if whole else order_N, batch_size)


def prefetched(images_NHW: Tensor, batches_: Iterable[Tensor], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Index batches with their images on the device; on a GPU the next ones are fetched while it computes."""
    if device.type == "cpu":
        yield from ((chosen_B, images_NHW[chosen_B]) for chosen_B in batches_)
        return

    def fetch(chosen_B: Tensor) -> Tensor:
        return images_NHW[chosen_B].pin_memory().to(device, non_blocking=True)

    ahead: deque[tuple[Tensor, Future[Tensor]]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for chosen_B in batches_:
            ahead.append((chosen_B, pool.submit(fetch, chosen_B)))
            if len(ahead) > _BATCHES_AHEAD:
                ready_B, images = ahead.popleft()
                yield ready_B, images.result()
        for ready_B, images in ahead:
            yield ready_B, images.result()


def sampling_weights(classes_N: Tensor, balance: float) -> Tensor:
    """Probability of drawing each radiograph, up to a factor: a class is drawn with `count ** (1 - balance)`."""
    counts_K = torch.bincount(classes_N).clamp_min(1).float()
    return counts_K[classes_N] ** -balance


@dataclass
class Progress:
    """Where a loop is: before `step` of `epoch`, both counted from 0."""

    epoch: int = 0
    step: int = 0
    losses: list[dict[str, float]] = field(default_factory=list)
    """Of the steps of this epoch so far."""
    row: dict[str, Any] = field(default_factory=dict)
    """What else is known of this epoch."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """A row for every whole epoch."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """What else the loop needs to go on."""

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Add the epoch's row to the history and go to the start of the next."""
        self.history.append(row)
        self.epoch, self.step, self.losses, self.row = self.epoch + 1, 0, [], {}


class Checkpoints:
    """State of a loop, so that an interrupted one continues at the step where it was and ends the same, bit for bit.

    One file, replaced atomically: tensors in safetensors, the progress in its metadata. It is written after every epoch
    and, when a signal asks to stop, after the step at work; all ranks agree on that step and the first one writes.
    """

    def __init__(self, run: Run, key: str, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._run, self._key, self._module, self._optimizer = run, key, module, optimizer

    def after_step(self, progress: Progress) -> None:
        """Save and stop here if a signal asked for it.

        Raises:
            Interrupted: the state is saved; the same command resumes.
        """
        if self._run.stop_requested():
            self.save(progress)
            raise Interrupted(STOPPED)

    def save(self, progress: Progress) -> None:
        """Save, on the first rank."""
        if distribution.rank() != 0:
            return
        tensors = {f"module.{key}": value for key, value in self._module.state_dict().items()}
        state = self._optimizer.state_dict()["state"]
        tensors |= {f"optimizer.{index}.{key}": value for index, slots in state.items() for key, value in slots.items()}
        tensors |= {f"extra.{key}": value for key, value in progress.tensors.items()}
        tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        place = {name: getattr(progress, name) for name in ("epoch", "step", "losses", "row", "history")}
        self._run.storage.write(self._key, safetensors.torch.save(tensors, {"progress": json.dumps(place)}))

    def load(self) -> Progress:
        """Restore module and optimizer; returns where to go on, the beginning if nothing was saved."""
        try:
            data = self._run.read(self._key)
        except ObjectNotFound:
            return Progress()
        tensors = safetensors.torch.load(data)
        self._module.load_state_dict(_below("module.", tensors))
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _below("optimizer.", tensors).items():
            index, slot = key.split(".", 1)
            slots.setdefault(int(index), {})[slot] = value
        state = self._optimizer.state_dict()
        state["state"] = slots
        self._optimizer.load_state_dict(state)
        return Progress(**json.loads(_metadata(data)["progress"]), tensors=_below("extra.", tensors))

    def remove(self) -> None:
        """Delete the state; the stage's own files say the rest."""
        if distribution.rank() == 0:
            self._run.storage.delete(self._key)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _metadata(data: bytes) -> dict[str, str]:
    """Metadata of a safetensors file: its header is JSON, behind its length in eight bytes."""
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(io.BytesIO(data[8 : 8 + length]).read())
    metadata: dict[str, str] = header["__metadata__"]
    return metadata


def save_network(run: Run, key: str, network: Network) -> None:
    """Write a network's weights."""
    run.write(key, safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}))
