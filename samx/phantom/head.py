"""The head: origin under the skull's base on the atlas, y up, z to the face."""

import numpy as np

from samx.phantom.body import Body, Region, bone
from samx.phantom.projection import CORTICAL_BONE, GAS, SOFT_TISSUE, SPONGY_BONE, Part
from samx.phantom.solids import MIRROR, Frame, Solid, chain, cone, ellipsoid, moved

TOOTH = 0.075
"""Enamel and dentine in excess of soft tissue, 1/mm."""


def teeth(generator: np.random.Generator | None = None) -> list[Part]:
    """Upper and lower dental arches around (0, -14, 62)."""
    parts = []
    for jaw, (height, direction) in enumerate(((-8.0, 1.0), (-20.0, -1.0))):
        solids: list[Solid] = []
        for i in range(-7, 8):
            if i == 0:
                continue
            angle = np.radians(i * 11.0 - np.sign(i) * 5)
            x, z = 26 * np.sin(angle) * 1.05, 42 + 36 * np.cos(angle)
            thick = 3.4 if abs(i) < 4 else 4.6
            solids.append(cone((x, height - direction * 2, z), (x * 0.96, height + direction * 16, z - 3), thick, 1.6))
            if generator is not None and abs(i) > 3 and generator.random() < 0.35:
                parts.append(Part("filling", (ellipsoid((x, height - direction * 3, z), (2.6, 2.0, 2.8)),), 0.35))
        parts.append(Part(f"teeth {jaw}", tuple(solids), TOOTH))
    return parts


def head(body: Body, generator: np.random.Generator | None = None, *, jaw: float = 0.0) -> Region:
    """Cranium, face, lower jaw and teeth; `jaw` opens it in degrees."""
    region = Region()
    thick = 5.0 * body.cortex
    vault = ellipsoid((0, 80, -4), (73, 70, 91), ("x", 8))
    region.parts.append(Part("cranium", (vault,), 0.62 * CORTICAL_BONE, 0.0, thick))
    face: list[Solid] = []
    for side in ("left", "right"):
        half: list[Solid] = [
            *chain(
                [
                    (14, 66, 74),
                    (24, 73, 76),
                    (40, 70, 70),
                    (49, 58, 62),
                    (47, 42, 62),
                    (34, 34, 68),
                    (18, 38, 72),
                    (13, 52, 74),
                    (14, 66, 74),
                ],
                3.2,
            ),
            *chain([(46, 40, 60), (60, 36, 40), (66, 36, 12)], [6, 4, 3.5]),
            cone((32, 34, 62), (24, 8, 58), 7, 9),
            *chain([(18, 12, 64), (30, 8, 46), (30, 6, 30)], [8, 8, 6]),
            ellipsoid((38, 20, -8), (28, 9, 12), ("y", -32)),
            ellipsoid((56, 8, -14), (10, 17, 12)),
            cone((24, 58, 40), (54, 66, 28), 2.5, 2.5),
            cone((10, 36, 70), (12, 12, 70), 3, 6),
        ]
        mandible: list[Solid] = chain(
            [(56, 26, 8), (52, -14, 12), (46, -32, 24), (30, -40, 58), (14, -44, 76), (0, -45, 80)],
            [6, 8, 8, 8.5, 8.5, 9],
        )
        mandible += [cone((52, -14, 16), (50, 16, 28), 7, 4)]
        if side == "right":
            half, mandible = moved(half, MIRROR), moved(mandible, MIRROR)
        face += half
        hinge = Frame.at((0, 24, 8)).then(Frame.at((0, 0, 0), ("x", jaw))).then(Frame.at((0, -24, -8)))
        region.parts.append(bone(f"{side} jaw", moved(mandible, hinge), 2.2 * body.cortex, dense=1.3))
        region.parts.append(bone(f"{side} face", half, 1.4 * body.cortex, dense=1.2))
    base: list[Solid] = [
        ellipsoid((0, 22, 30), (26, 7, 22)),
        cone((0, 18, -14), (0, 32, 8), 10, 12),
        *chain([(-34, 14, -40), (0, 8, -52), (34, 14, -40)], 6),
        cone((-8, 44, 4), (8, 44, 4), 4, 4),
        cone((0, 30, 74), (0, 62, 70), 1.5, 1.5),
        ellipsoid((0, 3, 54), (24, 3.5, 26)),
    ]
    region.parts.append(bone("skull base", base, 1.6 * body.cortex, dense=1.5))
    region.parts += teeth(generator)
    middle = (ellipsoid((0, 22, 48), (54, 42, 30)), ellipsoid((0, 62, 62), (52, 16, 20)))
    region.parts.append(Part("middle face", middle, 0.5 * SPONGY_BONE))
    region.parts += [Part("orbit", (ellipsoid((s * 31, 53, 54), (18, 17, 22)),), -0.012) for s in (-1, 1)]
    cavities: list[Solid] = [
        ellipsoid((0, 30, 60), (9, 22, 16)),
        ellipsoid((-26, 22, 54), (11, 14, 14)),
        ellipsoid((26, 22, 54), (11, 14, 14)),
        ellipsoid((0, 82, 80), (22, 10, 5)),
        ellipsoid((0, 30, 26), (10, 9, 11)),
        cone((0, -4, 22), (0, -60, 14), 9, 9),
        ellipsoid((0, -6, 42), (18, 5, 20)),
    ]
    region.parts += [Part("cavity", (cavity,), 0.9 * GAS) for cavity in cavities]
    soft = (
        ellipsoid((0, 80, -4), (80, 77, 98), ("x", 8)),
        ellipsoid((0, 6, 26), (66, 66, 66)),
        cone((0, 30, 68), (0, 22, 92), 16, 9),
        cone((0, -30, 58), (0, -42, 74), 24, 16),
        cone((0, -20, -10), (0, -90, -14), 56, 58),
    )
    region.parts.append(Part("soft tissue", soft, SOFT_TISSUE))
    region.frames |= {"skull": Frame.at((0, 50, 0)), "jaw": Frame.at((0, -10, 40))}
    return region
