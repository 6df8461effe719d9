"""Copies of an exposure are found, other exposures of the same anatomy are not."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samx.preprocessing import PreprocessingConfig, preprocess
from samx.radiograph import read_radiograph
from training.duplicates import (
    MAX_DISTANCE,
    MIN_CORRELATION,
    aligned_correlation,
    first_of_groups,
    near_duplicates,
    perceptual_hash,
    proposed_pairs,
)

Pixels = np.ndarray


def layers(seed: int, *scales: int, shape: tuple[int, int] = (400, 300)) -> Pixels:
    """Smooth noise of several scales in pixels, as much of each: `(H, W)`."""
    generator = np.random.default_rng(seed)
    image = np.zeros(shape)
    for scale in scales:
        coarse = generator.standard_normal((shape[0] // scale + 2, shape[1] // scale + 2)).astype(np.float32)
        image += np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC))
    return image


def exposure(seed: int, anatomy: int = 0) -> Pixels:
    """A body part like others of its kind at a coarse scale, and its own at a fine one: `(400, 300)` in [0, 1]."""
    image = 4 * layers(anatomy, 150, 80) + layers(1000 + seed, 24, 12)
    return (image - image.min()) / np.ptp(image)


def encoded(pixels: Pixels, form: str = "PNG", **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)).save(buffer, form, **options)
    return buffer.getvalue()


def twelve_bits(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.rint(pixels * 4095).astype(np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def resized(pixels: Pixels, factor: float) -> Pixels:
    height, width = (round(side * factor) for side in pixels.shape)
    small = Image.fromarray(pixels.astype(np.float32)).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(small)


def blocks() -> np.ndarray:
    """An image with something at every frequency of the hash: `(96, 96)`."""
    return np.kron(np.random.default_rng(0).integers(1, 255, (12, 12)), np.ones((8, 8), int)).astype(np.uint8)


def image_of(data: bytes, size: int = 96) -> np.ndarray:
    config = PreprocessingConfig(size=size, working_size=320)
    return preprocess(read_radiograph(data, working_size=config.working_size), config)


def found(*images: np.ndarray) -> list[tuple[int, int]]:
    return near_duplicates([perceptual_hash(image) for image in images], [np.stack(images)])


@pytest.mark.parametrize("size", [96, 224])
@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(lambda pixels: encoded(pixels, "JPEG", quality=30), id="jpeg"),
        pytest.param(lambda pixels: encoded(resized(pixels, 0.7)), id="resized"),
        pytest.param(lambda pixels: encoded(pixels**1.3), id="gamma"),
        pytest.param(lambda pixels: encoded((pixels - 0.1) / 0.8), id="window"),
        pytest.param(twelve_bits, id="bits"),
        pytest.param(lambda pixels: encoded(pixels[8:-8, 6:-6]), id="cropped"),
        pytest.param(lambda pixels: encoded(pixels[8:, 6:]), id="cropped at two sides"),
    ],
)
def test_a_copy_is_found(copy: Callable[[Pixels], bytes], size: int) -> None:
    pixels = exposure(1)
    assert found(image_of(encoded(pixels), size), image_of(copy(pixels), size)) == [(0, 1)]


def test_other_exposures_of_one_anatomy_are_proposed_but_are_not_near_duplicates() -> None:
    images = [image_of(encoded(exposure(seed))) for seed in range(30)]
    assert len(proposed_pairs([perceptual_hash(image) for image in images])) > 50
    assert found(*images) == []


def test_phantoms_of_one_label_are_not_near_duplicates(export: Path) -> None:
    files = sorted((export / "radiographs").glob("*.dcm"))
    images = [image_of(file.read_bytes()) for file in files if file.name not in ("again.dcm", "cut.dcm")]
    assert len(images) == 60
    assert found(*images) == []


def test_the_same_exposure_in_other_transfer_syntaxes_is_found(real_radiographs: Path) -> None:
    files = sorted((real_radiographs / "dicom").glob("WG04_RG[23]_*.dcm"))
    pairs = found(*(image_of(file.read_bytes()) for file in files))
    groups = [file.name.split("_")[1] for file in files]
    assert pairs == [(i, j) for i in range(16) for j in range(i + 1, 16) if groups[i] == groups[j]]


@pytest.mark.parametrize("size", [96, 224])
def test_real_copies_are_told_from_real_likenesses(real_radiographs: Path, size: int) -> None:
    """Each pair is of two patients; the last two look alike but are of two people."""
    pairs = (
        ("shoulder/uci_shoulder_shoulder", "0083", "0397"),
        ("spine_thoracolumbar/jordan_spine_spine_thoracolumbar", "0134", "0135"),
        ("spine_thoracolumbar/jordan_spine_spine_thoracolumbar", "0139", "0160"),
        ("shoulder/uci_shoulder_shoulder", "0145", "0248"),
        ("hand/rsna_boneage_hand", "0420", "0430"),
    )
    files = [real_radiographs / f"images/{name}_{number}.jpg" for name, *numbers in pairs for number in numbers]
    assert found(*(image_of(file.read_bytes(), size) for file in files)) == [(0, 1), (2, 3), (4, 5)]


def test_images_without_structure_are_not_near_duplicates() -> None:
    assert found(*np.zeros((3, 96, 96), np.uint8), *np.full((3, 96, 96), 200, np.uint8)) == []


def test_nothing_is_found_in_nothing() -> None:
    assert near_duplicates([], []) == []


def test_shards_do_not_matter() -> None:
    pixels = [exposure(seed) for seed in (1, 2, 1, 3, 2, 1)]
    images = np.stack([image_of(encoded(p, "JPEG", quality=95 - i)) for i, p in enumerate(pixels)])
    hashes = [perceptual_hash(image) for image in images]
    expected = [(0, 2), (0, 5), (1, 4), (2, 5)]
    assert near_duplicates(hashes, [images]) == expected
    assert near_duplicates(hashes, [images[:0], images[:1], images[1:4], images[4:]]) == expected


def test_the_hash_of_a_negative_is_the_complement() -> None:
    image = blocks()
    assert int(perceptual_hash(image), 16) ^ int(perceptual_hash(255 - image), 16) == 2**64 - 1


def test_the_hash_ignores_the_black_padding() -> None:
    image = np.random.default_rng(0).integers(1, 255, (96, 60), np.uint8)
    assert perceptual_hash(np.pad(image, ((0, 0), (18, 18)))) == perceptual_hash(image)


def test_the_hash_is_what_it_was() -> None:
    """It is kept in the tables of a run, which may be continued by a later version."""
    assert perceptual_hash(blocks()) == "a5d1f1d3048b663b"


def test_pairs_are_proposed_up_to_the_largest_distance() -> None:
    generator = np.random.default_rng(2)
    numbers = [int(number) for number in generator.integers(0, 2**63, 60)]
    for number in numbers[:20]:  # some with one bit more or less than allowed
        flipped = generator.choice(63, MAX_DISTANCE + int(generator.integers(0, 2)), replace=False)
        numbers.append(number ^ sum(1 << int(bit) for bit in flipped))
    expected = [
        [i, j]
        for i in range(len(numbers))
        for j in range(i + 1, len(numbers))
        if (numbers[i] ^ numbers[j]).bit_count() <= MAX_DISTANCE
    ]
    assert 0 < len(expected) < 20
    assert proposed_pairs([f"{number:016x}" for number in numbers]).tolist() == expected


def test_alignment_undoes_a_small_shift_and_stretch_and_nothing_else() -> None:
    image = layers(3, 8, 5, shape=(60, 60)).astype(np.float32)
    inner = Image.fromarray(image)
    box = (2.2, 0.8, 59.2, 57.0)
    ones, moved = (np.asarray(inner.resize((48, 48), Image.Resampling.BICUBIC, box)) for box in ((1, 2, 58, 58.5), box))
    other = layers(4, 8, 5, shape=(48, 48)).astype(np.float32)
    same, not_same, negative = aligned_correlation(np.stack([ones] * 3), np.stack([moved, other, -moved]))
    assert np.corrcoef(ones.ravel(), moved.ravel())[0, 1] < 0.9
    assert same > MIN_CORRELATION
    assert not_same < 0.5
    assert negative == 0


@pytest.mark.parametrize("order", [1, -1])
def test_groups_follow_chains(order: int) -> None:
    pairs = [("c", "b"), ("x", "y"), ("e", "d"), ("d", "c"), ("a", "a")][::order]
    assert first_of_groups(pairs) == {"b": "b", "c": "b", "d": "b", "e": "b", "x": "x", "y": "x", "a": "a"}
