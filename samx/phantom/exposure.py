"""From a planned row to the picture a site archives: build, pose, project, expose, process, mark."""

from dataclasses import dataclass

import numpy as np

from samx.phantom import hardware, not_musculoskeletal
from samx.phantom.body import Body, random_body
from samx.phantom.plan import PlannedRadiograph, protocols_for
from samx.phantom.processing import Presentation, aperture_of, mark, present
from samx.phantom.projection import Camera, attenuation, expose, noise_texture
from samx.phantom.protocols import Protocol, build
from samx.phantom.sites import SITES, Site
from samx.phantom.solids import Grid


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished picture and what the headers need."""

    presentation: Presentation
    body: Body
    spacing: float
    """Millimetres per pixel."""
    study_date: str
    """YYYYMMDD."""


def render(planned: PlannedRadiograph, *, size: int) -> Rendered:
    """Renders one planned radiograph; the result depends on the row and the size alone.

    Args:
        planned: What to expose.
        size: Long side in pixels.
    """
    generator = np.random.default_rng(np.random.SeedSequence((planned.seed, planned.index, planned.patient_seed)))
    body = random_body(planned.patient_seed)
    site = SITES[planned.site]
    date = _date(planned)
    protocols = protocols_for(planned.label)
    if protocols:
        protocol = protocols[planned.variant]
        signal, aperture, spacing = _project(planned, protocol, body, size=size, generator=generator)
        presentation = present(site, signal, aperture, generator, uneven=protocol.uneven)
    else:
        presentation, spacing = _painted(planned, body, site, size, generator)
    pixels = presentation.pixels
    if planned.label not in ("photographed_page", "blank_exposure"):
        letter = planned.laterality or ("R" if generator.random() < 0.5 else "L")
        printed = (
            f"{date[6:]}.{date[4:6]}.{date[:4]}",
            f"{date[:4]}-{date[4:6]}-{date[6:]}",
            f"{date[4:6]}/{date[6:]}/{date[2:4]}",
        )
        which = list(SITES).index(site.name) % 3
        caption = planned.view[:3] if generator.random() < 0.6 else ""
        pixels = mark(site, pixels, letter=letter, caption=caption, date=printed[which], generator=generator)
    return Rendered(Presentation(pixels, presentation.window), body, spacing, date)


def _date(planned: PlannedRadiograph) -> str:
    """A date between 2012 and 2023 that belongs to the examination."""
    generator = np.random.default_rng((planned.seed, planned.study, planned.patient_seed, 3))
    return f"{generator.integers(2012, 2024)}{generator.integers(1, 13):02d}{generator.integers(1, 29):02d}"


def _project(
    planned: PlannedRadiograph, protocol: Protocol, body: Body, *, size: int, generator: np.random.Generator
) -> tuple[Grid, Grid, float]:
    """The detector's signal, the collimator's aperture and the spacing in mm."""
    site = SITES[planned.site]
    region = build(protocol, body, generator)
    if body.fractured and not planned.implant:
        hardware.break_bone(region, planned.label, generator)
    if planned.implant:
        hardware.add_implant(region, planned.label, protocol.frame, generator)
    if planned.cast:
        hardware.add_cast(region)
    width, height = (side * float(np.clip(generator.normal(1.0, 0.06), 0.86, 1.2)) for side in protocol.field)
    bladed = bool(generator.random() < site.collimated)
    margin = float(generator.uniform(*site.margin)) if bladed else 1.0
    extra = margin * float(generator.uniform(1.0, 1.12)) if bladed else 1.0
    whole_width, whole_height = width * margin, height * extra
    spacing = max(whole_width, whole_height) / size
    rows, columns = max(round(whole_height / spacing), 16), max(round(whole_width / spacing), 16)
    roll = protocol.roll[0] + float(generator.normal(0, protocol.roll[1]))
    if generator.random() < 0.02 and protocol.region in ("arm", "leg"):
        roll += 180
    turn, tilt, swing = (
        angle + float(generator.normal(0, 3.5)) for angle in (protocol.turn, protocol.tilt, protocol.swing)
    )
    frame = region.frames[protocol.frame]
    mirrored = _mirrored(planned, protocol, generator)
    camera = Camera.looking(
        frame,
        protocol.center,
        turn=turn,
        tilt=tilt,
        swing=swing,
        roll=roll,
        mirrored=mirrored,
        size=(rows, columns),
        spacing=spacing,
    )
    off = generator.normal(0, protocol.shift, 2) * (-width if mirrored else width, height)
    camera.frame.origin[:2] += np.clip(off, -0.09 * min(width, height), 0.09 * min(width, height))
    grain = max(1.0, 1.1 / spacing)
    texture = (
        1
        + 0.16 * noise_texture((rows, columns), grain, generator)
        + 0.12 * noise_texture((rows, columns), 4 * grain, generator)
    )
    integral = attenuation(region.parts, camera, texture) * np.float32(
        body.scale * protocol.energy * generator.normal(1, 0.03)
    )
    field = (height / whole_height, width / whole_width) if bladed else (1.2, 1.2)
    aperture = aperture_of(site, (rows, columns), field, generator)
    leak = np.float32(0.004)
    signal = expose(
        integral, np.maximum(aperture, leak), photons=site.photons * float(generator.lognormal(0, 0.35)),
            scatter=protocol.scatter,
        spacing=spacing, generator=generator,
    )  # fmt: skip
    return signal, aperture, spacing * body.scale


def _mirrored(planned: PlannedRadiograph, protocol: Protocol, generator: np.random.Generator) -> bool:
    """Whether the left body that was built is shown reflected: right limbs, and some laterals of the trunk."""
    if planned.laterality:
        return planned.laterality == "R"
    return protocol.view in ("LATERAL", "OBLIQUE") and bool(generator.random() < 0.4)


def _painted(
    planned: PlannedRadiograph, body: Body, site: Site, size: int, generator: np.random.Generator
) -> tuple[Presentation, float]:
    """A kind that is no projection of the body."""
    paint, _, (width, height) = not_musculoskeletal.PAINTED[planned.label]
    spacing = max(width, height) / size
    rows, columns = round(height / spacing), round(width / spacing)
    pixels = paint(body, rows, columns, generator)
    if planned.label == "blank_exposure":
        return present(
            site, np.exp(-pixels), aperture_of(site, (rows, columns), (0.9, 0.9), generator), generator
        ), spacing
    gamma = np.float32(max(site.gamma, 0.8) * float(generator.normal(1, 0.06)))
    return Presentation(np.clip(pixels / max(float(pixels.max()), 0.5), 0, 1) ** gamma, (0.5, 1.0)), spacing
