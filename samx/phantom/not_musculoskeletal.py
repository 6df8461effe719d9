"""What else lies in an export: chests, abdomens, dental panoramas, CT slices, photographed pages, blank exposures."""

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from samx.phantom.body import Body
from samx.phantom.projection import noise_texture
from samx.phantom.protocols import Protocol
from samx.phantom.solids import Grid

BODY_PROTOCOLS: tuple[Protocol, ...] = (
    Protocol("chest", "PA", "trunk", "T7", (0, 4, 20), (345, 370), roll=(0, 2), pose={"arms": 0}, scatter=0.3,
        energy=0.7, share=3, shift=0.02),
    Protocol("chest", "LATERAL", "trunk", "T7", (0, -4, 42), (310, 380), turn=90, roll=(0, 2), pose={"arms": 0},
        scatter=0.3, energy=0.65, shift=0.02),
    Protocol("abdomen", "AP", "trunk", "pelvis", (0, 165, 0), (350, 430), roll=(0, 2), pose={"arms": 0},
        scatter=0.45, energy=0.8, shift=0.02),
)  # fmt: skip
"""Kinds that are projections of the same body."""

BODY_PART_EXAMINED: Mapping[str, str] = {
    "chest": "CHEST",
    "abdomen": "ABDOMEN",
    "dental_panoramic": "JAW",
    "ct_slice": "HEAD",
}
"""Right tags (PS3.16 Table L-1) of the kinds that show a body part; a page and a blank have none."""


def dental_panoramic(body: Body, rows: int, columns: int, generator: np.random.Generator) -> Grid:
    """A rolled-out jaw as density, (rows, columns) float32 in [0, 1]."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    u, v = (x - columns / 2) / (columns / 2), (y - rows / 2) / (rows / 2)
    smile = 0.26 * (1 - u * u) * float(generator.uniform(0.5, 1.3))
    image = 0.30 + 0.1 * np.exp(-((u / 0.10) ** 2)) + 0.05 * noise_texture((rows, columns), columns / 14, generator)
    lower = 0.34 + smile
    jaw = np.abs(v - lower) < 0.24
    ramus = (np.abs(np.abs(u) - 0.80 + 0.05 * v) < 0.10) & (v > -0.62) & (v < lower + 0.2)
    bone_texture = 1 + 0.25 * noise_texture((rows, columns), columns / 130, generator)
    image += np.where((jaw & (np.abs(u) < 0.86)) | ramus, 0.17 * bone_texture, 0)
    image += np.where((np.abs(v - lower - 0.22) < 0.035) & (np.abs(u) < 0.80), 0.22, 0)
    image += np.where((v > -0.42) & (v < smile - 0.08) & (np.abs(u) < 0.62), 0.13 * bone_texture, 0)
    for cx in (-0.24, 0.24):
        image -= 0.13 * (((u - cx) / 0.15) ** 2 + ((v + 0.5) / 0.2) ** 2 < 1)
    image -= 0.13 * ((u / 0.07) ** 2 + ((v + 0.5) / 0.22) ** 2 < 1)
    image -= 0.12 * np.exp(-(((v - smile + 0.01) / 0.03) ** 2)) * (np.abs(u) < 0.7)
    fillings = body.age / 160
    for side in (-1, 1):
        for arch in (-1, 1):
            at = 0.022
            for tooth in range(8):
                wide = (0.05, 0.042, 0.05, 0.05, 0.052, 0.078, 0.076, 0.07)[tooth] * 0.88
                center, at = at + wide / 2, at + wide + 0.004
                if generator.random() < 0.05 + (0.25 if tooth == 7 else 0) + max(0, body.age - 55) / 220:
                    continue
                tilt = 0.25 * center * side + float(generator.normal(0, 0.05))
                crown = (1 - center * center) * float(smile.max()) + arch * 0.10
                du, dv = u - side * center - tilt * (v - crown) * 0.25, (v - crown) * arch
                root = np.clip(1 - np.maximum(dv, 0) / 0.42, 0, 1) ** 0.6
                body_of_tooth = (np.abs(du) < wide / 2 * np.minimum(root, 1)) & (dv > -0.085) & (dv < 0.34)
                image += np.where(body_of_tooth, 0.30 + 0.14 * (dv < 0.05), 0)
                if generator.random() < fillings and tooth > 2:
                    image = np.where((np.abs(du) < wide * 0.32) & (np.abs(dv + 0.04) < 0.04), 1.1, image)
    return np.asarray(np.clip(image + 0.015 * generator.standard_normal(image.shape), 0, 1.1), dtype=np.float32)


def ct_slice(body: Body, rows: int, columns: int, generator: np.random.Generator) -> Grid:
    """An axial slice of head or abdomen as archived by mistake, (rows, columns) float32 in [0, 1]."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    u, v = (x - columns / 2) / (min(rows, columns) / 2), (y - rows / 2) / (min(rows, columns) / 2)
    image = np.zeros((rows, columns), np.float32)

    def paint(at: tuple[float, float], axes: tuple[float, float], value: float, soft: float = 0.02) -> None:
        nonlocal image
        (cx, cy), (a, b) = at, axes
        mask = np.clip((1 - np.sqrt(((u - cx) / a) ** 2 + ((v - cy) / b) ** 2)) * min(a, b) / soft, 0, 1)
        image = image * (1 - mask) + value * mask

    if generator.random() < 0.5:
        width = 0.62 * body.vary("ct width", 0.06)
        paint((0, 0), (width + 0.07, 0.84), 0.30)
        paint((0, 0), (width + 0.03, 0.79), 1.0)
        paint((0, 0), (width - 0.03, 0.73), 0.42)
        image += 0.03 * noise_texture((rows, columns), columns / 24, generator) * (image == np.float32(0.42))
        for side in (-1, 1):
            paint((side * 0.10, -0.12), (0.05, 0.2), 0.2, 0.03)
            paint((side * 0.15, 0.2), (0.05, 0.15), 0.2, 0.03)
        paint((0, -0.42), (0.012, 0.3), 0.55, 0.01)
    else:
        girth = min(0.92, 0.78 * body.girth)
        paint((0, 0), (girth, 0.66), 0.22)
        paint((0, 0), (girth - 0.07 * body.girth, 0.58), 0.48)
        paint((0, -0.02), (girth - 0.15, 0.5), 0.26)
        paint((-0.36, -0.06), (0.30, 0.34), 0.62)
        paint((0.46, 0.06), (0.13, 0.18), 0.60)
        for side in (-1, 1):
            paint((side * 0.3, 0.28), (0.1, 0.14), 0.66)
            paint((side * 0.18, 0.42), (0.13, 0.12), 0.48)
        for _ in range(5):
            loop = (float(generator.uniform(0, 0.4)), float(generator.uniform(-0.35, 0.1)))
            axes = (float(generator.uniform(0.05, 0.12)), float(generator.uniform(0.05, 0.12)))
            paint(loop, axes, float(generator.choice([0.02, 0.5, 0.55])))
        paint((0.02, 0.14), (0.06, 0.06), 0.75)
        paint((0, 0.32), (0.16, 0.13), 1.0)
        paint((0, 0.32), (0.13, 0.10), 0.72)
        paint((0, 0.48), (0.06, 0.06), 0.42)
        paint((0, 0.56), (0.03, 0.1), 0.98)
        angle = np.linspace(0.3, 2 * np.pi - 0.3, 14) + np.pi / 2
        for a in angle:
            paint((float(np.cos(a)) * (girth - 0.11), float(np.sin(a)) * 0.545), (0.035, 0.025), 0.95)
    return np.clip(image + 0.02 * generator.standard_normal(image.shape), 0, 1).astype(np.float32)


_WORDS = (
    "the", "and", "of", "with", "from", "no", "examination", "patient", "request", "report", "finding", "left", "right",
    "date", "ward", "clinic", "previous", "film", "referral", "history", "question", "signed",
)  # fmt: skip


def photographed_page(_: Body, rows: int, columns: int, generator: np.random.Generator) -> Grid:
    """A request form or report photographed on a desk, (rows, columns) float32 in [0, 1]."""
    page = Image.new("L", (columns, rows), int(generator.integers(20, 90)))
    drawn = ImageDraw.Draw(page)
    left, top, right, bottom = 0.06 * columns, 0.04 * rows, 0.94 * columns, 0.96 * rows
    drawn.rectangle((left, top, right, bottom), fill=int(generator.integers(200, 245)))
    size = rows / float(generator.uniform(38, 52))
    font, title = ImageFont.load_default(size=size), ImageFont.load_default(size=1.8 * size)
    drawn.text((left + size, top + size), " ".join(generator.choice(_WORDS, 2)).title(), fill=30, font=title)
    y = top + 4 * size
    while y < bottom - 2 * size:
        if generator.random() < 0.15:
            drawn.line((left + size, y + size / 2, right - size, y + size / 2), fill=90)
        elif generator.random() > 0.12:
            text = " ".join(generator.choice(_WORDS, int(generator.integers(3, 9))))
            while drawn.textlength(text, font=font) > right - left - 2 * size:
                text = text.rsplit(" ", 1)[0]
            drawn.text((left + size, y), text, fill=int(generator.integers(30, 80)), font=font)
        y += 1.5 * size
    if generator.random() < 0.5:
        drawn.ellipse((right - 7 * size, bottom - 6 * size, right - 2 * size, bottom - 2 * size), outline=110, width=2)
    page = page.rotate(float(generator.normal(0, 5)), fillcolor=40, resample=Image.Resampling.BILINEAR).filter(
        ImageFilter.GaussianBlur(0.5)
    )
    light = 1 + 0.12 * noise_texture((rows, columns), columns / 1.5, generator)
    return np.clip(
        np.asarray(page, np.float32) / 255 * light + 0.01 * generator.standard_normal((rows, columns)), 0, 1
    ).astype(np.float32)


def blank_exposure(_: Body, rows: int, columns: int, generator: np.random.Generator) -> Grid:
    """An exposure of nothing: heel effect, plate shading, perhaps a step wedge or a calibration line."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    image = (
        0.35
        + float(generator.normal(0, 0.1)) * (y / rows - 0.5)
        + float(generator.normal(0, 0.08)) * (x / columns - 0.5)
    )
    image += 0.015 * noise_texture((rows, columns), columns / 2, generator)
    if generator.random() < 0.3:
        for step in range(8):
            low = int(rows * (0.15 + 0.08 * step))
            image[low : low + int(rows * 0.08), int(0.44 * columns) : int(0.56 * columns)] += 0.06 * step
    return np.asarray(image + 0.03 * generator.standard_normal(image.shape), dtype=np.float32)


PAINTED: Mapping[str, tuple[Callable[[Body, int, int, np.random.Generator], Grid], str, tuple[float, float]]] = {
    "dental_panoramic": (dental_panoramic, "PANORAMIC", (300.0, 155.0)),
    "ct_slice": (ct_slice, "AXIAL", (300.0, 300.0)),
    "photographed_page": (photographed_page, "PAGE", (210.0, 290.0)),
    "blank_exposure": (blank_exposure, "NONE", (240.0, 300.0)),
}
"""Kinds that are painted, with their view and field: not projections of a body."""
