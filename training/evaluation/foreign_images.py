"""Pictures that are no radiographs, drawn by code: photograph-like scenes, pages of text, ultrasound fans, noise.

Plausible rather than trivial: they have textures of every scale, edges, shading and colours turned grey, so that it
takes more than a look at the histogram to refuse them. Each kind varies from image to image; the same kind, seed and
number give the same picture.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Pixels = npt.NDArray[np.float32]
Generator = np.random.Generator

_SIDE = 256
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_SYLLABLES = (
    "ka",
    "lo",
    "mi",
    "ren",
    "tas",
    "ver",
    "un",
    "del",
    "sor",
    "im",
    "pat",
    "no",
    "ci",
    "fe",
    "lum",
    "est",
    "ra",
)


def foreign_image(kind: str, seed: int, number: int) -> Pixels:
    """One foreign picture, `(H, W)` float32 in [0, 1], long side 256.

    Args:
        kind: one of FOREIGN_KINDS.
        seed: of all.
        number: which.
    """
    generator = np.random.default_rng((seed, list(FOREIGN_KINDS).index(kind), number))
    short = int(generator.integers(160, _SIDE + 1))
    shape = (_SIDE, short) if generator.random() < 0.5 else (short, _SIDE)
    return np.ascontiguousarray(FOREIGN_KINDS[kind](shape, generator).clip(0, 1), np.float32)


def texture(shape: tuple[int, int], slope: float, generator: Generator) -> Pixels:
    """Random texture whose amplitude falls with frequency to the power of `slope`, scaled to [0, 1]; 1 is natural."""
    rows, columns = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(generator.normal(size=shape)) / frequency**slope
    spectrum[0, 0] = 0
    values = np.fft.irfft2(spectrum, shape)
    return np.asarray((values - values.min()) / np.ptp(values), np.float32)


def _photograph(shape: tuple[int, int], generator: Generator) -> Pixels:
    """Sky, ridges one before the other, and houses, trees or boulders with light on one side; in colour, then grey."""
    rows, columns = shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    sky = 0.55 + 0.4 * (1 - y / rows) * generator.random() + 0.35 * (texture(shape, 1.6, generator) - 0.5)
    colour = np.stack([sky * tint for tint in (0.8, 0.9, 1.05)], axis=2)
    horizon = rows * generator.uniform(0.2, 0.55)
    grain, lumps = texture(shape, 0.8, generator) - 0.5, texture(shape, 1.2, generator) - 0.5
    for distance in np.linspace(1, 0, int(generator.integers(2, 5))):
        ridge = horizon + (1 - distance) * rows * 0.35 + rows * 0.3 * (texture((2, columns), 1.2, generator)[0] - 0.5)
        ground = (0.25 + 0.45 * distance) + (0.5 - 0.3 * distance) * np.roll(grain, int(generator.integers(rows)), 0)
        tint = generator.uniform(0.6, 1.2, 3)
        colour = np.where((y > ridge)[..., None], ground[..., None] * tint, colour)
    for _ in range(int(generator.integers(2, 8))):
        _add_object(colour, y, x, np.roll((grain, lumps), int(generator.integers(columns)), 2), generator)
    if generator.random() < 0.3:
        colour *= (1 - 0.6 * (((x / columns - 0.5) ** 2 + (y / rows - 0.5) ** 2) / 0.5))[..., None]  # vignette
    grey = (colour.clip(0, 1) @ np.array(_LUMA)).astype(np.float32)
    grey = _blurred(grey, generator.uniform(0, 1.0))
    return np.asarray(grey + generator.normal(0, 0.01, shape), np.float32)


def _add_object(colour: npt.NDArray[np.floating], y: Pixels, x: Pixels, textures: Pixels, generator: Generator) -> None:
    """A house with windows, or a rounded thing lit from one side, painted into `(H, W, 3)`; two textures `(H, W)`."""
    (rows, columns), (grain, lumps) = y.shape, textures
    height, width = rows * generator.uniform(0.1, 0.45), columns * generator.uniform(0.06, 0.3)
    v = (y - rows * generator.uniform(0.35, 0.95)) / height
    u = (x - columns * generator.uniform(0, 1)) / width
    tint = generator.uniform(0.15, 1.0, 3)
    if generator.random() < 0.4:
        inside = (abs(u) < 0.5) & (abs(v) < 0.5)
        windows = ((u * generator.integers(3, 7)) % 1 < 0.5) & ((v * generator.integers(3, 9)) % 1 < 0.5)
        shade = np.where(windows, generator.uniform(0.1, 0.9), generator.uniform(0.4, 0.9))
    else:
        radius2 = u * u + v * v + 0.3 * lumps
        inside = radius2 < 0.25
        light = generator.uniform(0, 2 * np.pi)
        shade = 0.55 + 0.9 * (u * np.cos(light) + v * np.sin(light)) + 0.3 * grain
    colour[inside] = (shade[..., None] * tint)[inside]


def _text_page(shape: tuple[int, int], generator: Generator) -> Pixels:
    """A printed page: title, one or two columns of words, now and then a table or a figure; scanned a little askew."""
    rows, columns = shape
    scale = 2
    page = Image.new("L", (columns * scale, rows * scale), int(generator.integers(215, 256)))
    pen, ink = ImageDraw.Draw(page), int(generator.integers(0, 70))
    size, words = int(generator.integers(9, 16)), _words(generator, 250)
    body, margin = _font(size), int(0.08 * columns * scale)
    pen.text((margin, margin // 2), _words(generator, 3).title(), fill=ink, font=_font(size * 2))
    num_columns = int(generator.integers(1, 3))
    width = (columns * scale - margin * (num_columns + 1)) // num_columns
    for column in range(num_columns):
        left, top = margin + column * (width + margin), margin + size * 2
        while top < rows * scale - margin:
            if generator.random() < 0.04:
                top += _add_figure(pen, (left, top, width, size), ink, generator)
            elif generator.random() < 0.12:
                top += size  # a paragraph ends
            start = int(generator.integers(len(words) - 200))
            pen.text((left, top), words[start : start + width * 2 // size], fill=ink, font=body)
            top += round(size * 1.35)
    turned = page.rotate(float(generator.normal(0, 1.5)), Image.Resampling.BILINEAR, fillcolor=235)
    small = np.asarray(turned.resize((columns, rows), Image.Resampling.BOX), np.float32) / np.float32(255)
    return np.asarray(
        small * (1 - 0.15 * texture(shape, 1.8, generator)) + generator.normal(0, 0.01, shape), np.float32
    )


def _add_figure(pen: ImageDraw.ImageDraw, place: tuple[int, int, int, int], ink: int, generator: Generator) -> int:
    """A ruled table or a bar chart at left, top, of a width; returns its height."""
    left, top, width, size = place
    height = size * int(generator.integers(4, 9))
    pen.rectangle((left, top, left + width, top + height), outline=ink)
    parts = int(generator.integers(3, 9))
    for part in range(parts):
        at = left + part * width // parts
        if generator.random() < 0.5:
            pen.line((at, top, at, top + height), fill=ink)
        else:
            pen.rectangle(
                (at + 2, top + int(height * generator.random()), at + width // parts - 2, top + height), fill=120
            )
    return height + size


def _words(generator: Generator, count: int) -> str:
    syllables = [_SYLLABLES[index] for index in generator.integers(len(_SYLLABLES), size=4 * count)]
    lengths = generator.integers(1, 5, count)
    return " ".join("".join(syllables[4 * word : 4 * word + length]) for word, length in enumerate(lengths))


@cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _ultrasound(shape: tuple[int, int], generator: Generator) -> Pixels:
    """A sector on black: speckle, layers, a dark cyst or a bright bone with its shadow, and a scale."""
    rows, columns = shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    apex = -rows * generator.uniform(0.05, 0.5)
    angle, depth = np.arctan2(x - columns / 2, y - apex), np.hypot(x - columns / 2, y - apex) / (rows - apex)
    near = -apex / (rows - apex) + 0.04
    inside = (abs(angle) < generator.uniform(0.35, 0.8)) & (depth > near) & (depth < 0.97)
    speckle = _polar_speckle(angle, depth, generator)
    layers = 0.5 + 0.5 * np.sin(depth * generator.uniform(12, 40) + 3 * texture(shape, 1.6, generator))
    tissue = 0.25 + 0.35 * layers * texture(shape, 1.3, generator) + generator.uniform(-0.3, 0.2) * (depth - near)
    for _ in range(int(generator.integers(1, 4))):
        centre, wide = generator.uniform(-0.3, 0.3), generator.uniform(0.05, 0.16)
        deep, tall = generator.uniform(near + 0.15, 0.85), generator.uniform(0.04, 0.12)
        lesion = ((angle - centre) / wide) ** 2 + ((depth - deep) / tall) ** 2 < 1
        behind = (abs(angle - centre) < wide) & (depth > deep)
        if generator.random() < 0.5:
            tissue = np.where(lesion, 0.05, np.where(behind, tissue * 1.35, tissue))
        else:
            surface = (abs(depth - deep) < 0.02) & (abs(angle - centre) < wide)
            tissue = np.where(surface, 1.0, np.where(behind, tissue * 0.15, tissue))
    picture = np.where(inside, (tissue * speckle).clip(0, 1), 0.0)
    for tick in range(1, 9):
        picture[rows * tick // 9, columns - 6 : columns - 2] = 0.8
    return np.asarray(picture, np.float32)


def _polar_speckle(angle: Pixels, depth: Pixels, generator: Generator) -> Pixels:
    """Multiplicative speckle, broader across the beam than along it: Rayleigh noise looked up by angle and depth."""
    grid = np.hypot(*generator.normal(size=(2, 180, 90)))
    grid = 0.5 * grid + 0.25 * (np.roll(grid, 1, 0) + np.roll(grid, 1, 1))
    rows = (depth * 179).astype(int).clip(0, 179)
    columns = ((angle / np.pi + 0.5) * 179).astype(int) % 90
    return np.asarray(grid[rows, columns], np.float32)


def _noise(shape: tuple[int, int], generator: Generator) -> Pixels:
    """White, Poisson, salted or cloudy noise; sometimes with stripes, as a broken detector has them."""
    kind = int(generator.integers(4))
    if kind == 0:
        values = generator.random(shape)
    elif kind == 1:
        values = generator.poisson(generator.uniform(1, 20), shape).astype(np.float64)
    elif kind == 2:
        values = 0.4 + 0.2 * generator.random(shape)
        values[generator.random(shape) < 0.1] = float(generator.integers(2))
    else:
        values = texture(shape, generator.uniform(0.3, 2), generator).astype(np.float64)
    if generator.random() < 0.3:
        values = values + generator.normal(0, np.std(values), (1, shape[1]))
    values = values - values.min()
    return np.asarray(
        _blurred((values / max(float(values.max()), 1e-6)).astype(np.float32), float(generator.choice((0, 0, 1.5))))
    )


def _blurred(pixels: Pixels, radius: float) -> Pixels:
    if radius < 0.2:
        return pixels
    picture = Image.fromarray(np.rint(pixels.clip(0, 1) * 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32) / np.float32(255)


FOREIGN_KINDS: Mapping[str, Callable[[tuple[int, int], Generator], Pixels]] = {
    "photograph": _photograph,
    "text_page": _text_page,
    "ultrasound": _ultrasound,
    "noise": _noise,
}
"""Kind -> how a picture of `(H, W)` is drawn."""
