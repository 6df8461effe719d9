"""PNG, JPEG and TIFF: grey pictures, exported without their attributes."""

from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samx.errors import RadiographTooLarge, UnsupportedRadiograph
from samx.reading.codestreams import check_scans, scale_jpeg
from samx.reading.dicom import without_warnings
from samx.reading.image_pixel import value_range
from samx.reading.limits import ReadLimits
from samx.reading.reduction import Raster, reduce_to

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
_TIFF_COMPRESSIONS = ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate")
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_ORIENTATION = 0x0112
_TURNS = {  # Exif 2.32, section 4.6.4: where the first row and the first column are shown
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNS_ON_ITS_SIDE = tuple(_TURNS[orientation] for orientation in (5, 6, 7, 8))


def picture_format(data: bytes) -> PictureFormat | None:
    """Tells the format by the first bytes."""
    return next((kind for start, kind in _STARTS.items() if data.startswith(start)), None)


def read_picture(
    data: bytes, kind: PictureFormat, working_size: int, limits: ReadLimits
) -> tuple[NDArray[np.float32], int, int]:
    """Reads a grey picture, which may be stored as colour.

    Returns:
        `(H, W)` float32 at working size, in the picture's own units, and the original's rows and columns.

    Raises:
        RadiographTooLarge: too_many_pixels.
        UnsupportedRadiograph: multi_frame, colour, bits_allocated.
        UnreadableRadiograph: not_decodable.
    """
    name = kind.upper()
    image = _open(data, name)
    limits.check_decoded(image.height, image.width, _BITS.get(image.mode, 8 * len(image.mode)))
    size, halvings = image.size, 0
    if kind == "jpeg":
        check_scans(memoryview(data), limits)
        halvings = scale_jpeg(image, working_size)
    with without_warnings():
        image.load()
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1)) if kind == "jpeg" else None
    photometric = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC)
    if turn is not None:
        image = image.transpose(turn)
        size = size[::-1] if turn in _TURNS_ON_ITS_SIDE else size
    columns, rows = size
    channels = [_reduced(band, rows, columns, working_size, halvings) for band in _grey(image)]
    if len(channels) == 1:
        inverse = image.mode == "I;16" and photometric == _WHITE_IS_ZERO
        return (65535 - channels[0] if inverse else channels[0]), rows, columns  # Pillow inverts those of 8 bits itself
    share = float(np.mean(np.ptp(channels, axis=0) > _MOST_COLOUR))
    if share > _MOST_COLOURED:
        raise UnsupportedRadiograph("colour", f"the {name} is in colour ({share:.0%} of its area); allowed is grey")
    return np.mean(channels, axis=0, dtype=np.float32), rows, columns


def _open(data: bytes, name: str) -> Image.Image:
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
    compression = image.info.get("compression", "raw")
    if name == "TIFF" and compression not in _TIFF_COMPRESSIONS:
        raise UnsupportedRadiograph(
            "transfer_syntax", f"the TIFF is compressed by another method than {', '.join(_TIFF_COMPRESSIONS)}"
        )
    return image


def _grey(image: Image.Image) -> tuple[Image.Image, ...]:
    """One channel, or three that must be compared."""
    if image.mode in ("P", "PA", "RGBA"):
        image = image.convert("RGBA").convert("RGB")
    elif image.mode in ("1", "LA", "La"):
        image = image.convert("L")
    return image.split() if image.mode == "RGB" else (image,)


def _reduced(channel: Image.Image, rows: int, columns: int, working_size: int, halvings: int) -> NDArray[np.float32]:
    def band(first: int, last: int) -> NDArray[Any]:
        return np.asarray(channel.crop((0, first, channel.width, last)))

    bits = _BITS.get(channel.mode, 8)
    low, high = value_range(bits, signed=bits == 32)
    raster = Raster(channel.height, channel.width, low, high, band, halvings, by_dct=True)
    return reduce_to(raster, rows, columns, working_size)
