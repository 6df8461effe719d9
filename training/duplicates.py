"""Near-duplicates: one exposure stored more than once, re-encoded, resized, re-windowed or cropped by a few pixels.

Exports hold them: processed and unprocessed copies, studies sent twice, one picture in two collections. Under two
Patient IDs, such a pair tests on what was learned. Files of the same bytes are found by their sha256; these here by
what they show. Hashes of the coarse structure propose pairs, and the fine structure decides: radiographs of the same
anatomy are alike at a coarse scale, whoever they are of.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

MAX_DISTANCE: Final = 8
"""Bits out of 64 by which the hashes of a proposed pair may differ.

It proposes 20,531 of the 72 million pairs of 12,000 phantoms and about 2,900 of the 1.3 million of 1,629 real ones.
"""
MIN_CORRELATION: Final = 0.96
"""Least `aligned_correlation` of near-duplicates. Measured, with the hash, at sizes 96 and 224, which differ little:

Of the pairs of 1,629 real radiographs 3 are found, each one exposure under two patients (0.975 to 0.996). Two more of
that kind are missed, one at 0.91, one by 10 bits; the first pair of different exposures comes at 0.894. Phantoms, which
share one model of the body, come nearer: none of the 2 million pairs of 2,000, 27 of the 72 million of 12,000. Found of
150 real radiographs and 150 phantoms, in percent: JPEG of quality 30 86 and 83, 70 % of the size 95 and 92, gamma 1.3
89 and 91, 12 bits 97 and 99, window from the 3rd to the 97th percentile 99 and 97, 2 % cut off two sides 91 and 96, off
all four 87 and 97; crop, gamma, size and JPEG at once 64 and 73; a white mark burned in 49 and 63. Most are missed
because the field or the polarity was found differently. One DICOM image in eight transfer syntaxes: all found, twice.
"""

_HASH_SIDE = 32
_DETAIL_SIDE = 48
_BLUR, _BACKGROUND, _MARGIN = 1, 4, 2
_LARGEST_ASPECT_CHANGE = 0.1
_UNALIGNED_CORRELATION = 0.5  # alignment gains less than what is missing from here
_DISTANCES_AT_ONCE = 1 << 21
_PAIRS_AT_ONCE = 512

_POSITIONS = (np.arange(_HASH_SIDE) + 0.5) / _HASH_SIDE
_COSINES = np.cos(np.pi * np.outer(np.arange(10), _POSITIONS))
_WINDOW = np.outer(np.sin(np.pi * _POSITIONS), np.sin(np.pi * _POSITIONS))
_LOWEST = tuple(
    zip(*sorted(np.ndindex(10, 10), key=lambda wave: (wave[0] ** 2 + wave[1] ** 2, wave))[1:65], strict=True)
)

Item = TypeVar("Item", int, str)
Floats = npt.NDArray[np.float32]


def perceptual_hash(image: npt.NDArray[np.uint8]) -> str:
    """The coarse structure of a preprocessed image in 64 bits.

    Of the 64 lowest frequencies of the discrete cosine transform, but for the mean, each gives a bit: whether it is
    above their median (the DCT hash of Zauner 2010, "Implementation and benchmarking of perceptual image hash
    functions"). A sine window, ours, makes the edges count little, where crops differ.

    Args:
        image: `(size, size)` uint8 from `preprocess`.

    Returns:
        16 hexadecimal digits.
    """
    pixels = _content(image, _HASH_SIDE)
    coefficients = (_COSINES @ ((pixels - pixels.mean()) * _WINDOW) @ _COSINES.T)[_LOWEST]
    return np.packbits(coefficients > np.median(coefficients)).tobytes().hex()


def near_duplicates(hashes: Sequence[str], shards: Iterable[npt.NDArray[np.uint8]]) -> list[tuple[int, int]]:
    """Finds the pairs of images that are of one exposure.

    Memory: 2,304 bytes for each image that is in a proposed pair, 8 for each pair, and one shard.

    Args:
        hashes: `perceptual_hash` of each image.
        shards: the images in the same order, in arrays `(n, size, size)` uint8; read one after the other.

    Returns:
        Positions of the two, the smaller first, sorted.
    """
    pairs = proposed_pairs(hashes)
    candidates = np.unique(pairs)
    details, aspects = _details(shards, candidates)
    pairs = np.searchsorted(candidates, pairs).astype(np.int32)
    pairs = pairs[np.abs(aspects[pairs[:, 0]] - aspects[pairs[:, 1]]) < _LARGEST_ASPECT_CHANGE]
    found: list[tuple[int, int]] = []
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        block = pairs[start : start + _PAIRS_AT_ONCE]
        ones, others = (details[block[:, side]].astype(np.float32) for side in (0, 1))
        maybe = np.flatnonzero(_correlation(ones, others) > _UNALIGNED_CORRELATION)
        same = maybe[aligned_correlation(ones[maybe], others[maybe]) >= MIN_CORRELATION]
        found += [(int(one), int(other)) for one, other in candidates[block[same]]]
    return found


def proposed_pairs(hashes: Sequence[str]) -> npt.NDArray[np.int32]:
    """Pairs whose hashes differ by at most MAX_DISTANCE bits: `(n, 2)` positions, the smaller first, sorted.

    Every hash is compared with every other: 100,000 take 4 s, 300,000 take 40 s on one core. Nine bands, one of which
    two near hashes must have in common, would still leave a sixth of all pairs: radiographs are alike at this scale.
    """
    bits = np.array([int(text, 16) for text in hashes], np.uint64)
    num_rows = max(1, _DISTANCES_AT_ONCE // max(1, len(bits)))
    found = [np.zeros((0, 2), np.int32)]
    for start in range(0, len(bits), num_rows):
        distances = np.bitwise_count(bits[start : start + num_rows, None] ^ bits[start:])
        # Flat: NumPy finds the few true ones of one axis four times as fast as those of two.
        ones, others = np.divmod(np.flatnonzero(distances <= MAX_DISTANCE), len(bits) - start)
        found.append((np.stack((ones, others), 1)[ones < others] + start).astype(np.int32))
    return np.concatenate(found)


def aligned_correlation(ones: Floats, others: Floats) -> Floats:
    """Correlation of each pair of images after the best small shift and stretch of each axis.

    A crop shifts and stretches the rest by a pixel or two, which ruins the correlation of fine structure. To first
    order, what a shift changes is a multiple of the image's derivative, and what a stretch changes, of that times the
    position (Lucas and Kanade 1981). So it is the multiple correlation of one image with the other and these four, the
    derivatives being those of the pair's mean.

    Args:
        ones: `(n, H, W)`, any unit.
        others: `(n, H, W)`.

    Returns:
        `(n,)` in [0, 1]; 0 for images that are no copy, are negative copies, or have no structure.
    """
    side = np.linspace(-1, 1, ones.shape[1], dtype=np.float32)
    down, across = np.gradient((ones + others) / 2, axis=(1, 2))
    causes = _centred(np.stack((ones, down, across, side[:, None] * down, side * across), 1))
    effect = _centred(others)
    gram = causes @ causes.transpose(0, 2, 1)
    ridge = 1e-6 + 1e-5 * np.trace(gram, axis1=1, axis2=2)
    common = causes @ effect[..., None]
    weights = np.linalg.solve(gram + ridge[:, None, None] * np.eye(5, dtype=np.float32), common)
    explained = (weights * common).sum((1, 2)) / np.maximum((effect**2).sum(1), 1e-6)
    return np.where(weights[:, 0, 0] > 0, np.sqrt(explained.clip(0, 1)), 0)


def first_of_groups(pairs: Iterable[tuple[Item, Item]]) -> dict[Item, Item]:
    """The smallest member of each item's group, where the two of a pair are of one group, and so on (union-find).

    Items that are in no pair are not in the answer.
    """
    above: dict[Item, Item] = {}

    def first(item: Item) -> Item:
        while (higher := above.setdefault(item, item)) != item:
            above[item] = above[higher]
            item = above[item]
        return item

    for one, other in pairs:
        low, high = sorted((first(one), first(other)))
        above[high] = low
    return {item: first(item) for item in list(above)}


def _details(
    shards: Iterable[npt.NDArray[np.uint8]], candidates: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int8], Floats]:
    """Fine structure and logarithm of height by width of some images, by their positions, which are sorted."""
    details = np.zeros((len(candidates), _DETAIL_SIDE, _DETAIL_SIDE), np.int8)
    aspects = np.zeros(len(candidates), np.float32)
    done = start = 0
    for shard in shards:
        stop = int(np.searchsorted(candidates, start + len(shard)))
        for number in range(done, stop):
            image = shard[candidates[number] - start]
            details[number] = _detail(image)
            height, width = _inside(image).shape
            aspects[number] = np.log(height / width)
        done, start = stop, start + len(shard)
    return details, aspects


def _detail(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    """What stands out from its surroundings, scaled to fill [-127, 127] unless it is less than one grey level."""
    smooth = _box_mean(_content(image, _DETAIL_SIDE), _BLUR)
    fine = smooth - _box_mean(smooth, _BACKGROUND)
    detail: npt.NDArray[np.int8] = np.rint(fine * (127 / max(float(np.abs(fine).max()), 1.0))).astype(np.int8)
    return detail


def _content(image: npt.NDArray[np.uint8], side: int) -> Floats:
    """The image without its black padding, squeezed into `(side, side)` in [0, 255]."""
    return np.asarray(Image.fromarray(_inside(image)).resize((side, side), Image.Resampling.BILINEAR), dtype=np.float32)


def _inside(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    rows, columns = (np.flatnonzero(image.any(axis)) for axis in (1, 0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else image


def _box_mean(pixels: Floats, radius: int) -> Floats:
    width = 2 * radius + 1
    sums = np.pad(np.pad(pixels, radius, mode="edge").cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    total: Floats = sums[width:, width:] - sums[:-width, width:] - sums[width:, :-width] + sums[:-width, :-width]
    return total / np.float32(width**2)


def _correlation(ones: Floats, others: Floats) -> Floats:
    a, b = _centred(ones), _centred(others)
    return np.asarray((a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1) + 1e-6), np.float32)


def _centred(images: npt.NDArray[Any]) -> Floats:
    """`(..., H, W)` without a margin, where surroundings are cut off, as `(..., pixels)` of mean 0."""
    inner = images[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    flat: Floats = inner.reshape(*inner.shape[:-2], inner.shape[-2] * inner.shape[-1])
    centred: Floats = flat - flat.mean(-1, keepdims=True)
    return centred
