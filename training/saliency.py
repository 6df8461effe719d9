"""Whether heat maps say something about the model: two checks that a map which only looks plausible does not pass.

Randomised weights (Adebayo et al. 2018, section 3): a map that stays when the weights are random shows the picture, not
the model. Deletion (Petsiuk et al. 2018, section 4.1): where the hottest pixels are taken away first, the probability
must fall faster than where pixels are taken away in the order of a map that knows nothing.

Shape suffixes: N radiographs, S side of the image, hw positions of the last feature maps, K classes in head order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from samx.network import Network, to_input
from training.evaluation.intervals import percentile_limits, resampled_sums

NUM_STEPS = 12
"""Portions in which an image is deleted."""
_RESAMPLES = 1000


def rank_correlation(first_hw: npt.NDArray[np.float32], second_hw: npt.NDArray[np.float32]) -> float | None:
    """Spearman's correlation of two maps, equal values sharing their mean rank; 0 is chance, 1 the same order.

    None where the first map is level, so that it has no order. A level second map tells nothing of the first: 0.
    """
    first, second = (_ranks(values.ravel()) for values in (first_hw, second_hw))
    if np.ptp(first) == 0:
        return None
    if np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def randomised(
    network: Network, build: Callable[[], Network], images_NSS: Tensor, generator: torch.Generator
) -> Iterator[tuple[str, Network]]:
    """The network with ever more of its weights random, from the head down to the first layer (cascading).

    Args:
        network: trained; it is left as it is.
        build: makes a network of the same shape.
        images_NSS: uint8; batch normalisation, whose statistics belonged to the weights, takes them from these.
        generator: shuffles the values within each tensor, so that only their arrangement is lost.

    Yields:
        The name of the part made random last, and the network in evaluation mode.
    """
    device = next(network.parameters()).device
    state = {name: value.clone() for name, value in network.state_dict().items()}
    parts: dict[str, list[str]] = {}
    for name, _ in network.named_parameters():
        if name.startswith("attribute_heads."):
            continue  # no map is of them
        parts.setdefault(".".join(name.split(".")[: 1 if name.startswith("head") else 2]), []).append(name)
    for part, names in reversed(parts.items()):
        for name in names:
            order = torch.randperm(state[name].numel(), generator=generator).to(device)
            state[name] = state[name].flatten()[order].reshape(state[name].shape)
        shuffled = build().to(device)
        shuffled.load_state_dict(state)
        yield part.removeprefix("backbone."), _with_statistics(shuffled, to_input(images_NSS, device))


def deletion_curves(
    images_NSS: npt.NDArray[np.uint8],
    maps_Nhw: npt.NDArray[np.float32],
    classes_N: npt.NDArray[np.intp],
    answer: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]],
) -> npt.NDArray[np.float64]:
    """Probability of each image's class while its pixels are replaced by the image's mean, the hottest first.

    Args:
        images_NSS: preprocessed, uint8.
        maps_Nhw: float32 in [0, 1], enlarged to the image as the heat map's picture is.
        classes_N: position of the class that is watched.
        answer: probabilities `(n, K)` of images `(n, S, S)`.

    Returns:
        `(N, NUM_STEPS + 1)` in [0, 1], from the whole image to none of it. The mean of a row is the deletion score:
        low is good, and what a random map reaches is chance.
    """
    curves = np.empty((len(images_NSS), NUM_STEPS + 1))
    for index, (image_SS, map_hw) in enumerate(zip(images_NSS, maps_Nhw, strict=True)):
        enlarged_SS = Image.fromarray(map_hw).resize(image_SS.shape[::-1], Image.Resampling.BICUBIC)
        order = np.argsort(-np.asarray(enlarged_SS).ravel(), kind="stable")
        left = np.repeat(image_SS.ravel()[None], NUM_STEPS + 1, axis=0)
        for step in range(1, NUM_STEPS + 1):
            left[step, order[: round(len(order) * step / NUM_STEPS)]] = round(float(image_SS.mean()))
        curves[index] = answer(left.reshape(-1, *image_SS.shape))[:, classes_N[index]]
    return curves


def central_map(shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """A bump in the middle, `(h, w)` float32 in [0, 1]: what a map reaches that knows only where radiographers aim."""
    rows, columns = (np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in shape)
    bump: npt.NDArray[np.float32] = np.exp(-2 * (rows[:, None] ** 2 + columns**2)).astype(np.float32)
    return bump


def mean_over_patients(values: Sequence[float], patients: Sequence[str], *, seed: int) -> dict[str, float | int | None]:
    """The mean and its 95 % limits by the bootstrap over patients; `n` is the number of values."""
    if not values:
        return {"value": None, "low": None, "high": None, "n": 0}
    summed_NM = np.column_stack([values, np.ones(len(values))])
    sums_BM = resampled_sums(summed_NM, patients, resamples=_RESAMPLES, seed=seed)
    low, high = percentile_limits(sums_BM[:, 0] / sums_BM[:, 1])
    figures: Mapping[str, float] = {"value": float(np.mean(values)), "low": low, "high": high}
    return {**{name: round(value, 4) for name, value in figures.items()}, "n": len(values)}


def _ranks(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    ranks: npt.NDArray[np.float64] = (ends - (counts - 1) / 2)[position]
    return ranks


def _with_statistics(network: Network, images_N1SS: Tensor) -> Network:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all that is seen
    with torch.inference_mode():
        network.train().feature_maps(images_N1SS)
    return network.eval()
