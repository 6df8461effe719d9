"""Five simulated sites: how each processes the detector's signal, and how it marks, borders and stores the picture.

Westhaven is the external one, meant for the hold-out: MONOCHROME1 throughout, 16 bits, flat contrast and the strongest
edges; no other site stores or looks like it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

EXTERNAL_SITE = "Westhaven"


@dataclass(frozen=True, slots=True)
class Site:
    """Habits of one hospital; shares are probabilities."""

    name: str
    """Institution Name (0008,0080)."""
    share: float
    manufacturer: str
    models: tuple[str, ...]
    stations: tuple[str, ...]
    modality: str
    """CR or DX, which also chooses the SOP class."""
    bits_stored: int
    bits_allocated: int
    monochrome1: float
    """Share of MONOCHROME1 (0028,0004)."""
    transfer_syntaxes: tuple[str, ...]
    """pydicom.uid names."""
    windowed: float
    """Share with Window Center and Width, which a DX image must have (PS3.3 C.11.2)."""
    gamma: float
    """Above 1: dark mid-tones."""
    sigmoid: float
    """Steepness of the characteristic curve, 0 for none."""
    equalised: float
    """How much of the low frequencies is taken away (multi-scale processing), 0 to 1."""
    edge: float
    """Strength of the edge enhancement."""
    edge_sigma: float
    """Its radius in pixels at a long side of 320."""
    photons: float
    """Quanta per pixel: fewer are noisier."""
    blur: float
    """Detector blur in pixels at a long side of 320."""
    collimated: float
    """Share where the blades are in the picture."""
    border: str
    """What lies beyond the blades: "black", "white" or "signal" (not shuttered)."""
    framed: float
    """Share with a printed frame."""
    marker: float
    """Share with a burned-in side."""
    marker_style: str
    """"lead" (bright letter), "box" (dark on bright) or "text" ("R" with the projection)."""
    dated: float
    """Share with a burned-in date."""
    implant: float
    cast: float
    margin: tuple[float, float]
    """Range of the detector's size against the field."""


SITES: Mapping[str, Site] = {
    site.name: site
    for site in (
        Site(
            name="Northfield",
            share=0.30,
            manufacturer="Aster Imaging",
            models=("DR-500", "DR-700"),
            stations=("NFXR1", "NFXR2", "NFXR3"),
            modality="DX",
            bits_stored=12,
            bits_allocated=16,
            monochrome1=0.0,
            transfer_syntaxes=("ExplicitVRLittleEndian", "JPEGLosslessSV1"),
            windowed=1.0,
            gamma=1.0,
            sigmoid=3.5,
            equalised=0.45,
            edge=0.55,
            edge_sigma=3.0,
            photons=5000,
            blur=0.5,
            collimated=0.45,
            border="black",
            framed=0.0,
            marker=0.85,
            marker_style="lead",
            dated=0.03,
            implant=0.10,
            cast=0.04,
            margin=(1.0, 1.12),
        ),
        Site(
            name="Eastbrook",
            share=0.25,
            manufacturer="Borealis Medical",
            models=("Plate Reader 12",),
            stations=("EBCR01", "EBCR02"),
            modality="CR",
            bits_stored=10,
            bits_allocated=16,
            monochrome1=0.6,
            transfer_syntaxes=("ImplicitVRLittleEndian", "RLELossless"),
            windowed=0.8,
            gamma=1.25,
            sigmoid=0.0,
            equalised=0.25,
            edge=0.2,
            edge_sigma=2.0,
            photons=1400,
            blur=0.8,
            collimated=0.75,
            border="signal",
            framed=0.1,
            marker=0.7,
            marker_style="lead",
            dated=0.10,
            implant=0.07,
            cast=0.10,
            margin=(1.05, 1.35),
        ),
        Site(
            name="Southgate",
            share=0.17,
            manufacturer="Corvid Health",
            models=("Panel S", "Panel S2"),
            stations=("SGDX1", "SGDX2"),
            modality="DX",
            bits_stored=14,
            bits_allocated=16,
            monochrome1=0.15,
            transfer_syntaxes=("JPEG2000Lossless", "ExplicitVRLittleEndian"),
            windowed=1.0,
            gamma=0.85,
            sigmoid=2.0,
            equalised=0.7,
            edge=0.9,
            edge_sigma=1.5,
            photons=8000,
            blur=0.0,
            collimated=0.3,
            border="black",
            framed=0.0,
            marker=0.9,
            marker_style="text",
            dated=0.25,
            implant=0.16,
            cast=0.03,
            margin=(1.0, 1.06),
        ),
        Site(
            name="Oldminster",
            share=0.13,
            manufacturer="Dunlin X-Ray",
            models=("FilmScan 8",),
            stations=("OMFD",),
            modality="CR",
            bits_stored=8,
            bits_allocated=8,
            monochrome1=0.0,
            transfer_syntaxes=("ExplicitVRLittleEndian", "JPEGLosslessSV1", "RLELossless"),
            windowed=0.1,
            gamma=1.1,
            sigmoid=3.5,
            equalised=0.15,
            edge=0.0,
            edge_sigma=2.0,
            photons=900,
            blur=1.1,
            collimated=0.8,
            border="white",
            framed=0.55,
            marker=0.75,
            marker_style="box",
            dated=0.7,
            implant=0.05,
            cast=0.07,
            margin=(1.02, 1.3),
        ),
        Site(
            name=EXTERNAL_SITE,
            share=0.15,
            manufacturer="Egret Radiography",
            models=("Vantage W",),
            stations=("WHX-A", "WHX-B"),
            modality="DX",
            bits_stored=16,
            bits_allocated=16,
            monochrome1=1.0,
            transfer_syntaxes=("JPEG2000Lossless", "RLELossless"),
            windowed=1.0,
            gamma=0.7,
            sigmoid=1.0,
            equalised=0.6,
            edge=1.4,
            edge_sigma=5.0,
            photons=2600,
            blur=0.3,
            collimated=0.6,
            border="black",
            framed=0.05,
            marker=0.8,
            marker_style="box",
            dated=0.35,
            implant=0.13,
            cast=0.06,
            margin=(1.0, 1.25),
        ),
    )
}
"""Site name -> habits; the shares of images sum to 1."""
