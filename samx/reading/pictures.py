"""PNG, JPEG and TIFF: grey pictures, exported without their attributes."""

from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samx.errors import RadiographTooLarge, UnreadableRadiograph, UnsupportedRadiograph
from samx.reading.codestreams import jpeg_frame_header, scale_jpeg
from samx.reading.image_pixel import value_range
from samx.reading.limits import ReadLimits
from samx.reading.quiet import without_warnings
from samx.reading.reduction import Raster, reduce_to
from samx.reading.tiff import tiff_rasters

PictureFormat = Literal["png", "jpeg", "tiff"]

_STARTS: dict[bytes, PictureFormat] = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
}
_BITS = {"I": 32, "I;16": 16, "I;16B": 16}
_MOST_COLOUR = 8  # of 255, between the channels of a pixel that still counts as grey; JPEG rounds them apart
_MOST_COLOURED = 0.01  # of the area
_ORIENTATION = 0x0112  # Exif 2.32, section 4.6.4; TIFF 6.0, section 8
_ON_ITS_SIDE, _FROM_THE_BOTTOM, _FROM_THE_RIGHT = (5, 6, 7, 8), (3, 4, 7, 8), (2, 3, 6, 7)


def picture_format(data: bytes | memoryview) -> PictureFormat | None:
    """Tells the format by the first bytes."""
    return next((kind for start, kind in _STARTS.items() if data[: len(start)] == start), None)


def read_picture(
    data: bytes | memoryview, kind: PictureFormat, working_size: int, limits: ReadLimits
) -> tuple[NDArray[np.float32], int, int]:
    """Reads a grey picture, which may be stored as colour.

    Returns:
        `(H, W)` float32 at working size, in the picture's own units, and the original's rows and columns.

    Raises:
        RadiographTooLarge: too_many_pixels.
        UnsupportedRadiograph: multi_frame, colour, bits_allocated.
        UnreadableRadiograph: not_decodable.
    """
    if kind == "jpeg":
        jpeg_frame_header(memoryview(data), limits)
    elif kind == "png":
        _check_chunks(data, limits)
    image = _open(data, kind.upper())
    rows, columns = image.height, image.width
    limits.check_decoded(rows, columns, _BITS.get(image.mode, 8 * len(image.mode)))
    with without_warnings():
        orientation = image.getexif().get(_ORIENTATION, 1)
    if kind == "tiff":
        rasters = tiff_rasters(image, data)
        rows, columns = rasters[0].rows, rasters[0].columns  # Pillow has exchanged its own by the orientation
    else:
        halvings = scale_jpeg(image, working_size) if kind == "jpeg" else 0
        image.load()
        rasters = [_raster(channel, halvings) for channel in _grey(image)]
    channels = [reduce_to(raster, rows, columns, working_size) for raster in rasters]
    values = channels[0] if len(channels) == 1 else _mean_of_grey(channels, kind.upper())
    return _upright(values, orientation), *((columns, rows) if orientation in _ON_ITS_SIDE else (rows, columns))


def _check_chunks(data: bytes | memoryview, limits: ReadLimits) -> None:
    """Raises UnreadableRadiograph for a PNG of more chunks than `limits.elements`, through which Pillow would walk."""
    at = 8
    for _ in range(limits.elements):
        if at + 8 > len(data):
            return
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    raise UnreadableRadiograph("not_decodable", f"the PNG has more than {limits.elements} chunks")


def _open(data: bytes | memoryview, name: str) -> Image.Image:
    """Reads the header and refuses by name what is not one grey picture."""
    try:
        with without_warnings():
            image = Image.open(BytesIO(data), formats=(name,))
            several = getattr(image, "is_animated", False)
    except Image.DecompressionBombError:
        raise RadiographTooLarge("too_many_pixels", f"the {name} claims more pixels than are decoded") from None
    if several:
        raise UnsupportedRadiograph("multi_frame", f"the {name} holds several frames; allowed is 1")
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "I", "I;16", "I;16B"):
        code = "bits_allocated" if image.mode == "F" else "colour"
        raise UnsupportedRadiograph(code, f"the {name} is {image.mode}; allowed is grey of 8 or 16 bits")
    return image


def _grey(image: Image.Image) -> tuple[Image.Image, ...]:
    """One channel, or three that must be compared."""
    if image.mode in ("P", "PA", "RGBA"):
        image = image.convert("RGBA").convert("RGB")
    elif image.mode in ("1", "LA", "La"):
        image = image.convert("L")
    return image.split() if image.mode == "RGB" else (image,)


def _raster(channel: Image.Image, halvings: int) -> Raster:
    def band(first: int, last: int) -> NDArray[Any]:
        return np.asarray(channel.crop((0, first, channel.width, last)))

    bits = _BITS.get(channel.mode, 8)
    low, high = value_range(bits, signed=bits == 32)
    return Raster(channel.height, channel.width, low, high, band, halvings, by_dct=True)


def _mean_of_grey(channels: list[NDArray[np.float32]], name: str) -> NDArray[np.float32]:
    """The mean of three channels that differ by no more than a codec makes them."""
    share = float(np.mean(np.ptp(channels, axis=0) > _MOST_COLOUR))
    if share > _MOST_COLOURED:
        raise UnsupportedRadiograph("colour", f"the {name} is in colour ({share:.0%} of its area); allowed is grey")
    return np.asarray(np.mean(channels, axis=0), np.float32)


def _upright(values: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Puts the first row and the first column where the orientation says that they are shown."""
    if orientation in _ON_ITS_SIDE:
        values = values.T
    if orientation in _FROM_THE_BOTTOM:
        values = values[::-1]
    if orientation in _FROM_THE_RIGHT:
        values = values[:, ::-1]
    return np.ascontiguousarray(values)
