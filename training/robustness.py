"""What happens to the answers when radiographs arrive otherwise than they did: turned, cut, compressed, inverted.

The distortions start from the index's preprocessed images, since the source may be out of reach by now, and go through
polarity, field and grey levels again as a file would. That is faithful for rotations, crop and marker, which a file
shows at any size. It is an approximation for `negative` (grey levels are equalised already), for `jpeg_q30` (harsher: a
block of 8 pixels covers more of a small image) and for `eight_bits`.
"""

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from samx.classifier import Classifier
from samx.preprocessing import PreprocessingConfig, preprocess
from samx.radiograph import Radiograph, RadiographAttributes
from samx.reading.polarity import is_negative
from training.intervals import proportion
from training.model import answers_of

Pixels = npt.NDArray[np.float32]

_GAMMA = 2.2


def robustness_figures(
    classifier: Classifier,
    images_NHW: npt.NDArray[np.uint8],
    labels: Sequence[str],
    answers: Sequence[str],
    *,
    num_images: int,
) -> dict[str, dict[str, object]]:
    """For each distortion, the share of right answers and of answers that stay what they were.

    Args:
        classifier: gave the answers.
        images_NHW: preprocessed, `(N, S, S)` uint8.
        labels: of each, "" where unknown: then it counts for `same_answer` only.
        answers: to the images as they are.
        num_images: how many are distorted at most, evenly chosen.

    Returns:
        `{name: {n, top_1, same_answer}}`, beginning with `original`; empty where there is nothing to distort.
    """
    chosen = evenly_chosen(len(images_NHW), num_images)
    if not len(chosen):
        return {}
    truth, before = np.array(labels)[chosen], np.array(answers)[chosen]
    figures = {}
    for name in ("original", *DISTORTIONS):
        if name == "original":
            after = before
        else:
            distorted = [
                distort(images_NHW[index], name, classifier.spec.preprocessing, seed=index) for index in chosen
            ]
            after = np.array([prediction.label for prediction in answers_of(classifier, distorted)])
        hits_N = (after == truth)[truth != ""]
        figures[name] = {"n": len(after), "top_1": proportion(hits_N), "same_answer": proportion(after == before)}
    return figures


def evenly_chosen(total: int, wanted: int) -> npt.NDArray[np.intp]:
    """Positions of at most `wanted` of `total`, at even distances."""
    count = min(total, wanted)
    return np.linspace(0, total - 1, count).round().astype(np.intp) if count else np.zeros(0, np.intp)


def distort(
    image: npt.NDArray[np.uint8], name: str, config: PreprocessingConfig, *, seed: int
) -> npt.NDArray[np.uint8]:
    """One preprocessed image `(S, S)` as a distorted file would give it; the same for the same seed."""
    pixels = DISTORTIONS[name](content(image), np.random.default_rng(seed))
    return as_read(pixels, config)


def content(image: npt.NDArray[np.uint8]) -> Pixels:
    """What lies inside the black padding, `(H, W)` float32 in [0, 1]."""
    rows, columns = (np.flatnonzero(image.any(axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros(image.shape, np.float32)
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32) / np.float32(255)


def as_read(pixels: Pixels, config: PreprocessingConfig) -> npt.NDArray[np.uint8]:
    """The `(S, S)` image of a picture without attributes: polarity, field, grey levels, square."""
    pixels = np.ascontiguousarray(1 - pixels if is_negative(pixels) else pixels)
    radiograph = Radiograph(pixels, RadiographAttributes(), "png", *pixels.shape)
    return preprocess(radiograph, config)


def _negative(pixels: Pixels, _generator: np.random.Generator) -> Pixels:
    """Air bright, as an export without its Photometric Interpretation has it."""
    return 1 - pixels


def _rotated(degrees: float) -> "Callable[[Pixels, np.random.Generator], Pixels]":
    def rotate(pixels: Pixels, _generator: np.random.Generator) -> Pixels:
        """Counter-clockwise, with black corners."""
        turned = Image.fromarray(pixels).rotate(degrees, Image.Resampling.BILINEAR, expand=True)
        return np.asarray(turned, np.float32).clip(0, 1)

    return rotate


def _marker(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """A white letter in a corner, a seventh of the short side high."""
    height, width = pixels.shape
    side = max(6, min(height, width) // 7)
    left = int(generator.choice((side // 2, max(0, width - 2 * side))))
    top = int(generator.choice((side // 2, max(0, height - 2 * side))))
    picture = Image.fromarray(pixels)
    letter = str(generator.choice(("L", "R")))
    ImageDraw.Draw(picture).text((left, top), letter, fill=1.0, font=ImageFont.load_default(side))
    return np.asarray(picture, np.float32).clip(0, 1)


def _jpeg_q30(pixels: Pixels, _generator: np.random.Generator) -> Pixels:
    """Compressed as JPEG of quality 30 and read again."""
    buffer = io.BytesIO()
    _as_bytes(pixels).save(buffer, "JPEG", quality=30)
    return np.asarray(Image.open(buffer), np.float32) / np.float32(255)


def _cropped(pixels: Pixels, _generator: np.random.Generator) -> Pixels:
    """A tenth cut off on every side: 64 % of the area is left."""
    height, width = pixels.shape
    rows, columns = height // 10, width // 10
    return pixels[rows : height - rows, columns : width - columns]


def _eight_bits(pixels: Pixels, _generator: np.random.Generator) -> Pixels:
    """Darkened as raw detector values are, rounded to 8 bits and only then equalised: dark levels fall together."""
    return np.asarray(_as_bytes(pixels**_GAMMA), np.float32) / np.float32(255)


def _as_bytes(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.rint(pixels * 255).astype(np.uint8))


DISTORTIONS: Mapping[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "negative": _negative,
    "rotated_15": _rotated(15),
    "rotated_minus_15": _rotated(-15),
    "rotated_90": lambda pixels, _generator: np.rot90(pixels),
    "marker": _marker,
    "jpeg_q30": _jpeg_q30,
    "cropped": _cropped,
    "eight_bits": _eight_bits,
}
"""Name -> what it does to the content of an image, `(H, W)` float32 in [0, 1]; degrees are counter-clockwise."""
