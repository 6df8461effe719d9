"""What one file may cost. Each claim of a file is compared with these limits before it costs anything.

They also bound the time: whatever is inside them is decoded in seconds (`tests/benchmarks/README.md` has the figures).
"""

from dataclasses import dataclass

from samx.errors import RadiographTooLarge

_MEBI = 1024**2


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """A stitched radiograph of both legs has 36 million pixels, a mammogram 24 million."""

    encoded_bytes: int = 160 * _MEBI
    """Size of the file."""
    decoded_bytes: int = 128 * _MEBI
    """Rows x columns x bits (and samples per pixel), in bytes."""
    jpeg_2000_pixels: int = 16_000_000
    """Pixels at the resolution that is decoded: JPEG 2000 takes ten times as long for one as any other codec. A file
    with the usual five resolution levels never comes near it."""
    jpeg_scans: int = 32
    """Scans of a progressive JPEG, each of which costs time for the whole image; encoders make ten."""
    segments: int = 10_000
    """Segments in the header of a JPEG or JPEG 2000 codestream."""
    header_bytes: int = 16 * _MEBI
    """What may stand before the pixels of a deflated data set, inflated."""
    elements: int = 50_000
    """Data elements and sequence items before the pixels, of which a radiograph has a few hundred;
    fragments of the frame; chunks of a PNG."""
    depth: int = 32
    """Sequences inside sequences."""

    def check_encoded(self, num_bytes: int) -> None:
        """Raises RadiographTooLarge for a file above `encoded_bytes`."""
        if num_bytes > self.encoded_bytes:
            raise RadiographTooLarge(
                "too_many_bytes", f"the file has {num_bytes} bytes; at most {self.encoded_bytes} are read"
            )

    def check_decoded(self, rows: int, columns: int, bits_per_pixel: int) -> None:
        """Raises RadiographTooLarge for pixels above `decoded_bytes`."""
        if rows * columns * bits_per_pixel > self.decoded_bytes * 8:
            raise RadiographTooLarge(
                "too_many_pixels",
                f"{rows} rows x {columns} columns x {bits_per_pixel} bits; allowed are {self.decoded_bytes} bytes",
            )

    def check_jpeg_2000(self, num_pixels: int) -> None:
        """Raises RadiographTooLarge for more than `jpeg_2000_pixels` at the resolution that would be decoded."""
        if num_pixels > self.jpeg_2000_pixels:
            raise RadiographTooLarge(
                "too_many_pixels",
                f"the smallest usable resolution of the JPEG 2000 codestream has {num_pixels} pixels; allowed are "
                f"{self.jpeg_2000_pixels}",
            )


DEFAULT_LIMITS = ReadLimits()
