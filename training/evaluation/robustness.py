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
from training.evaluation.intervals import proportion
from training.model import answers_of

Pixels = npt.NDArray[np.float32]

_GAMMA = 2.2


def distorted_answers(
    classifier: Classifier, images_NHW: npt.NDArray[np.uint8], rows: Sequence[Mapping[str, object]], *, num_images: int
) -> list[dict[str, object]]:
    """The answer to each of some radiographs as it is and under every distortion: rows of robustness.csv.

    Args:
        classifier: gave the answers.
        images_NHW: preprocessed, `(N, S, S)` uint8.
        rows: of predictions.csv, in the order of the images.
        num_images: how many are distorted at most, evenly chosen.
    """
    chosen = evenly_chosen(len(images_NHW), num_images).tolist()
    table: list[dict[str, object]] = [
        {"key": rows[index]["key"], "label": rows[index]["label"], "original": rows[index]["answer"]}
        for index in chosen
    ]
    for name in DISTORTIONS:
        distorted = [distort(images_NHW[index], name, classifier.spec.preprocessing, seed=index) for index in chosen]
        for row, prediction in zip(table, answers_of(classifier, distorted), strict=True):
            row[name] = prediction.label
    return table


def robustness_figures(table: Sequence[Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """For each distortion, the share of right answers and of answers that stay what they were.

    A share that stays says nothing of whether the answers were right; radiographs without a label count there alone.

    Args:
        table: rows of robustness.csv.

    Returns:
        `{name: {n, top_1, same_answer}}`, of `original` too; empty where nothing was distorted.
    """
    figures = {}
    for name in ROBUSTNESS_COLUMNS[2:] if table else ():
        hits = [row["label"] == row[name] for row in table if row["label"]]
        same = [row["original"] == row[name] for row in table]
        figures[name] = {
            "n": len(table),
            "top_1": proportion(np.array(hits, bool)),
            "same_answer": proportion(np.array(same, bool)),
        }
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


def content_box(image: npt.NDArray[np.uint8]) -> tuple[slice, slice]:
    """Rows and columns inside the black padding of a preprocessed image; all of a black one."""
    rows, columns = (np.flatnonzero(image.any(axis)) for axis in (1, 0))
    if not len(rows):
        return slice(None), slice(None)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def content(image: npt.NDArray[np.uint8]) -> Pixels:
    """What lies inside the black padding, `(H, W)` float32 in [0, 1]."""
    return image[content_box(image)].astype(np.float32) / np.float32(255)


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
ROBUSTNESS_COLUMNS = ("key", "label", "original", *DISTORTIONS)
