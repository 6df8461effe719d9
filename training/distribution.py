"""Several processes, one job: what each rank does alone and what all do together.

Without a process group every function here does what it would do with a single rank, so the code that calls them is the
same on a laptop and on eight GPUs. `python -m training.launch` (torchrun) starts the ranks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Result = TypeVar("Result")

_COLLECTIVE_TIMEOUT = timedelta(minutes=10)
_WAITING_TIMEOUT = timedelta(days=7)
"""How long ranks wait for the first one to do what only it does, such as reading a million radiographs."""

_waiting_group: dist.ProcessGroup | None = None
_is_apart = False


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the other ranks if torchrun has started this process; leave them at the end.

    Args:
        device: type of device that is trained on: collectives of its tensors go over NCCL on CUDA, else over gloo.
    """
    global _waiting_group  # noqa: PLW0603  # torch.distributed's own group is as global
    if not dist.is_torchelastic_launched():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(dist.get_node_local_rank())
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=_COLLECTIVE_TIMEOUT)
    _waiting_group = dist.new_group(backend="gloo", timeout=_WAITING_TIMEOUT)
    try:
        yield
    finally:
        _waiting_group = None
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() and not _is_apart else 0


def num_ranks() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() and not _is_apart else 1


@contextmanager
def apart() -> Iterator[None]:
    """Each rank works for itself: whatever is called meanwhile sees one rank, which writes what it has to write.

    For work that comes in pieces; afterwards `wait_for_all`.
    """
    global _is_apart  # noqa: PLW0603  # as the process group
    before, _is_apart = _is_apart, True
    try:
        yield
    finally:
        _is_apart = before


def wait_for_all() -> None:
    """Go on when every rank has come here, however long that takes."""
    if num_ranks() > 1:
        dist.barrier(group=_waiting_group)


def on_first_rank(work: Callable[[], Result]) -> Result:
    """Do `work` on rank 0, apart, while the others wait; its result, or its exception, is every rank's."""
    if num_ranks() == 1:
        return work()
    outcome: list[object] = [None]
    if rank() == 0:
        try:
            with apart():
                outcome = [work()]
        except Exception as error:
            outcome = [_Failure(error)]
    dist.broadcast_object_list(outcome, group=_waiting_group)
    if isinstance(outcome[0], _Failure):
        raise outcome[0].error
    return outcome[0]  # type: ignore[return-value]  # what `work` returned


@dataclass(frozen=True, slots=True)
class _Failure:
    """What went wrong on the first rank, on its way to the others."""

    error: Exception


def own_part(num_items: int) -> slice:
    """The consecutive items that belong to this rank; parts differ in size by one at most."""
    return slice(rank() * num_items // num_ranks(), (rank() + 1) * num_items // num_ranks())


def add_up(values: Tensor) -> Tensor:
    """Sum over the ranks, on every rank, in place."""
    if num_ranks() > 1:
        dist.all_reduce(values)
    return values


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on at least one rank: how all agree to stop at the same step."""
    return bool(add_up(torch.tensor(int(flag)))) if num_ranks() > 1 else flag


def concatenate(part_ND: Tensor) -> Tensor:
    """The parts of all ranks in their order, on every rank; parts may differ in length."""
    if num_ranks() == 1:
        return part_ND
    lengths = torch.zeros(num_ranks(), dtype=torch.int64, device=part_ND.device)
    lengths[rank()] = len(part_ND)
    add_up(lengths)
    longest = int(lengths.max())
    padded = part_ND.new_zeros(longest, *part_ND.shape[1:])
    padded[: len(part_ND)] = part_ND
    parts = [torch.empty_like(padded) for _ in range(num_ranks())]
    dist.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths.tolist(), strict=True)])


class _AddUp(torch.autograd.Function):
    """Sum over the ranks; the gradient of every rank's loss reaches every rank's part."""

    @staticmethod
    def forward(_context: object, values: Tensor) -> Tensor:
        return add_up(values.clone())

    @staticmethod
    def backward(_context: object, gradient: Tensor) -> Tensor:
        return add_up(gradient.clone())


def add_up_with_gradient(values: Tensor) -> Tensor:
    """Sum over the ranks, differentiable."""
    summed: Tensor = _AddUp.apply(values) if num_ranks() > 1 else values  # type: ignore[no-untyped-call]
    return summed


def concatenate_with_gradient(part_BD: Tensor) -> Tensor:
    """Parts of equal length of all ranks in their order, on every rank, differentiable."""
    if num_ranks() == 1:
        return part_BD
    whole = part_BD.new_zeros(num_ranks() * len(part_BD), *part_BD.shape[1:])
    own = slice(rank() * len(part_BD), (rank() + 1) * len(part_BD))
    return add_up_with_gradient(whole.index_copy(0, torch.arange(own.start, own.stop, device=whole.device), part_BD))
