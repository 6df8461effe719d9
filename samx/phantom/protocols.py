"""Exposures as protocols over the one body: how its joints are posed, from where it is seen, how large the field is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field

import numpy as np

from samx.phantom.body import Body, Region
from samx.phantom.head import head
from samx.phantom.lower_limb import leg, leg_frame
from samx.phantom.solids import MIRROR, Frame
from samx.phantom.spine import spine
from samx.phantom.trunk import bowel_gas, pelvis, rib_cage, torso
from samx.phantom.upper_limb import arm, reach, shoulder_girdle

SHOULDER = (178.0, 545.0, -5.0)
"""The left shoulder joint in trunk coordinates."""

Pose = dict[str, float]


@dataclass(frozen=True, slots=True)
class Protocol:
    """One usual view of one entity, in millimetres of a standard adult and degrees."""

    label: str
    view: str
    """AP and PA as in View Position (0018,5101); LATERAL (LL or RL there by side); else the view's usual name."""
    region: str
    """Which builder of `REGIONS` makes the body."""
    frame: str
    """The body frame the camera stands before."""
    center: tuple[float, float, float]
    field: tuple[float, float]
    """Width and height."""
    turn: float = 0.0
    tilt: float = 0.0
    swing: float = 0.0
    roll: tuple[float, float] = (0.0, 6.0)
    """Mean and standard deviation in the plane of the detector."""
    pose: Mapping[str, float] = dataclass_field(default_factory=dict)
    share: float = 1.0
    scatter: float = 0.15
    energy: float = 1.0
    """Factor on the attenuation: below 1 for harder beams."""
    shift: float = 0.05
    """Standard deviation of the centring as a share of the field."""
    uneven: bool = False
    """Whether thickness differs so much across the field that every site evens it out (wedge filter, processing)."""


def _arm(body: Body, pose: Pose, generator: np.random.Generator) -> Region:
    ray = int(pose.pop("ray", 0))
    flexion: dict[int, float] = {}
    if ray:
        away = pose.pop("others", 8.0)
        flexion = {
            k: (float(generator.uniform(2, 16)) if k == ray else away + float(generator.normal(0, 4)))
            for k in range(1, 6)
        }
    else:
        bend = pose.pop("flexion", 8.0)
        flexion = {k: bend + float(generator.normal(0, 4)) + pose.get("fan", 0.0) * (k - 3) for k in range(1, 6)}
    pose.pop("fan", 0.0)
    return arm(body, **pose, flexion=flexion)  # type: ignore[arg-type]


def _shoulder(body: Body, pose: Pose, generator: np.random.Generator) -> Region:
    abduction, flexion, turned = (pose.pop(key, 0.0) for key in ("abduction", "arm_flexion", "rotation_out"))
    region = shoulder_girdle(body, elevation=max(abduction, 0.7 * flexion))
    frame = reach(Frame.at(), abduction=abduction, flexion=flexion, rotation_out=turned)
    region.place(_arm(body, pose, generator), frame)
    region.frames["upper_arm"] = reach(Frame.at(), abduction=abduction, flexion=flexion)
    to_trunk = Frame.at([-value for value in SHOULDER])
    for part in (spine(body), rib_cage(body), torso(body)):
        region.place(part, to_trunk)
    return region


def _leg(body: Body, pose: Pose, _: np.random.Generator) -> Region:
    return leg(body, **pose)


def _hip(body: Body, pose: Pose, _: np.random.Generator) -> Region:
    """One leg and the pelvis, for a lateral femur."""
    region = pelvis(body)
    region.place(leg(body, **pose), leg_frame())
    region.place(torso(body), Frame.at())
    return region


def _trunk(body: Body, pose: Pose, generator: np.random.Generator) -> Region:
    """Everything from thigh to chin."""
    abduction, flexion, turned = (pose.pop(key, 0.0) for key in ("abduction", "leg_flexion", "rotation_out"))
    arms = pose.pop("arms", 1.0)
    region = pelvis(body)
    for part in (spine(body), rib_cage(body), torso(body)):
        region.place(part, Frame.at())
    region.parts += bowel_gas(generator, 0.8)
    left = leg_frame(abduction=abduction, flexion=flexion, rotation_out=turned)
    limb = leg(body, **pose)
    region.place(limb, left)
    other = MIRROR.then(leg_frame(abduction=0.3 * abduction, rotation_out=0.3 * turned))
    region.place(limb if flexion == 0 else leg(body), other, suffix=" right")
    shoulder = Region()
    shoulder.place(shoulder_girdle(body), Frame.at())
    shoulder.place(arm(body), reach(Frame.at(), abduction=14))
    if arms:
        region.place(shoulder, Frame.at(SHOULDER), suffix=" of arm")
        region.place(shoulder, MIRROR.then(Frame.at(SHOULDER)), suffix=" of right arm")
    return region


def _neck(body: Body, pose: Pose, generator: np.random.Generator) -> Region:
    """Head, neck and shoulders."""
    region = spine(body)
    region.place(
        head(body, generator, jaw=pose.get("jaw", 0.0)),
        Frame.at(region.frames["head"].origin, ("x", pose.get("nod", 0.0))),
    )
    for part in (rib_cage(body), torso(body)):
        region.place(part, Frame.at())
    shoulder = Region()
    shoulder.place(shoulder_girdle(body), Frame.at())
    shoulder.place(arm(body), reach(Frame.at(), abduction=6))
    down = (SHOULDER[0], SHOULDER[1] - pose.get("drop", 0.0), SHOULDER[2])
    region.place(shoulder, Frame.at(down), suffix=" of arm")
    region.place(shoulder, MIRROR.then(Frame.at(down)), suffix=" of right arm")
    return region


REGIONS: Mapping[str, Callable[[Body, Pose, np.random.Generator], Region]] = {
    "arm": _arm, "shoulder": _shoulder, "leg": _leg, "hip": _hip, "trunk": _trunk, "neck": _neck,
}  # fmt: skip

_P = Protocol
PROTOCOLS: tuple[Protocol, ...] = (
    _P("hand", "PA", "arm", "hand", (6, 82, 0), (185, 255), roll=(0, 10), pose={"spread": 3}, share=3),
    _P("hand", "OBLIQUE", "arm", "hand", (4, 82, 0), (175, 250), turn=42, roll=(0, 10),
       pose={"flexion": 22, "thumb": 30}, share=2),
    _P("hand", "LATERAL", "arm", "hand", (0, 75, -8), (150, 250), turn=88, roll=(0, 10),
       pose={"flexion": 18, "fan": 9, "thumb": 25}),
    _P("finger", "PA", "arm", "finger", (0, 38, 0), (48, 112), roll=(0, 10), pose={"ray": 2, "spread": 6}, share=2),
    _P("finger", "LATERAL", "arm", "finger", (0, 47, -6), (52, 92), turn=90, roll=(0, 14),
       pose={"ray": 2, "others": 68}, share=2),
    _P("finger", "OBLIQUE", "arm", "finger", (0, 38, 0), (50, 110), turn=45, roll=(0, 12),
       pose={"ray": 2, "spread": 8}),
    _P("thumb", "AP", "arm", "thumb", (0, 50, 0), (72, 118), turn=180, roll=(0, 12), pose={"flexion": 8, "thumb": 46}),
    _P("thumb", "LATERAL", "arm", "thumb", (0, 50, -2), (74, 118), turn=95, roll=(0, 12),
       pose={"flexion": 12, "thumb": 52}),
    _P("wrist", "PA", "arm", "hand", (1, 8, 0), (88, 128), roll=(0, 8), share=3),
    _P("wrist", "LATERAL", "arm", "hand", (0, 8, 0), (78, 128), turn=90, roll=(0, 8), pose={"thumb": 20}, share=3),
    _P("wrist", "OBLIQUE", "arm", "hand", (1, 9, 0), (86, 124), turn=42, roll=(0, 10)),
    _P("forearm", "AP", "arm", "forearm", (0, -122, 0), (120, 315), roll=(0, 8), pose={"elbow": 4}),
    _P("forearm", "LATERAL", "arm", "forearm", (0, -122, 0), (135, 315), turn=90, roll=(0, 8),
       pose={"elbow": 82, "thumb": 20}),
    _P("elbow", "AP", "arm", "elbow", (0, -4, 0), (125, 175), roll=(0, 8), pose={"elbow": 4}),
    _P("elbow", "LATERAL", "arm", "elbow", (0, 2, 22), (150, 160), turn=90, roll=(0, 12), pose={"elbow": 86}),
    _P("elbow", "OBLIQUE", "arm", "elbow", (0, -4, 0), (125, 170), turn=-40, roll=(0, 8), pose={"elbow": 6},
       share=0.4),
    _P("humerus", "AP", "shoulder", "upper_arm", (4, -148, 0), (165, 385), roll=(0, 8),
       pose={"abduction": 22, "elbow": 8}),
    _P("humerus", "LATERAL", "shoulder", "upper_arm", (4, -148, 0), (175, 385), roll=(0, 8),
       pose={"abduction": 34, "rotation_out": -85, "elbow": 75}),
    _P("shoulder", "AP", "shoulder", "shoulder", (-8, -22, 0), (220, 220), turn=0, roll=(0, 5),
       pose={"abduction": 10}, share=3, scatter=0.25),
    _P("shoulder", "Y", "shoulder", "shoulder", (-26, -22, -8), (190, 225), turn=-55, roll=(0, 5),
       pose={"abduction": 6}, share=1.3, scatter=0.3),
    _P("shoulder", "AXIAL", "shoulder", "shoulder", (2, 0, 4), (185, 165), tilt=-90, uneven=True, swing=-24,
       roll=(0, 10), pose={"abduction": 78}, scatter=0.25),
    _P("clavicle", "AP", "shoulder", "clavicle", (-2, 4, 0), (215, 130), roll=(0, 5), pose={"abduction": 6},
       scatter=0.25),
    _P("clavicle", "AXIAL", "shoulder", "clavicle", (-2, 6, 0), (215, 125), tilt=22, roll=(0, 5),
       pose={"abduction": 6}, scatter=0.25, share=0.8),
    _P("scapula", "AP", "shoulder", "shoulder", (-55, -44, -30), (185, 235), turn=6, roll=(0, 5),
       pose={"abduction": 75}, scatter=0.3),
    _P("scapula", "LATERAL", "shoulder", "shoulder", (-62, -55, -36), (150, 265), turn=-55, roll=(0, 6),
       pose={"arm_flexion": 85}, scatter=0.3),
    _P("cervical_spine", "AP", "neck", "C5", (0, 8, 0), (150, 200), tilt=14, roll=(0, 3), pose={"jaw": 0, "nod": -12},
       scatter=0.25),
    _P("cervical_spine", "LATERAL", "neck", "C5", (0, 14, -4), (180, 225), turn=90, roll=(0, 4),
       pose={"nod": -4, "drop": 38}, share=1.4, scatter=0.2),
    _P("cervical_spine", "OBLIQUE", "neck", "C5", (0, 10, -4), (160, 215), turn=48, roll=(0, 4),
       pose={"nod": -6, "drop": 25}, share=0.4, scatter=0.25),
    _P("thoracic_spine", "AP", "trunk", "T7", (0, 5, 0), (175, 400), roll=(0, 2), scatter=0.4, energy=0.8,
       uneven=True),
    _P("thoracic_spine", "LATERAL", "trunk", "T7", (0, 0, -14), (165, 390), turn=90, roll=(0, 3), pose={"arms": 0},
       scatter=0.4, energy=0.75, uneven=True, shift=0.03),
    _P("lumbar_spine", "AP", "trunk", "L3", (0, 0, 0), (190, 350), roll=(0, 2), scatter=0.4, energy=0.8, uneven=True,
       share=1.2),
    _P("lumbar_spine", "LATERAL", "trunk", "L3", (0, 0, -12), (205, 350), turn=90, roll=(0, 4), scatter=0.45,
       energy=0.75, uneven=True, share=1.2, pose={"arms": 0}),
    _P("lumbar_spine", "OBLIQUE", "trunk", "L3", (0, 0, -8), (200, 330), turn=45, roll=(0, 4), scatter=0.45,
       energy=0.75, uneven=True, share=0.3, pose={"arms": 0}),
    _P("sacrum", "AP", "trunk", "sacrum", (0, -2, 0), (165, 195), tilt=16, roll=(0, 3), scatter=0.4, energy=0.8,
       uneven=True),
    _P("sacrum", "LATERAL", "trunk", "sacrum", (0, -4, -4), (140, 205), turn=90, roll=(0, 6), scatter=0.45,
       energy=0.75, uneven=True),
    _P("pelvis", "AP", "trunk", "pelvis", (0, 34, 0), (385, 315), roll=(0, 2.5), scatter=0.4, energy=0.85, share=4,
       shift=0.03),
    _P("pelvis", "INLET", "trunk", "pelvis", (0, 34, 0), (370, 300), tilt=-38, roll=(0, 3), scatter=0.4, energy=0.85,
       share=0.6, shift=0.03),
    _P("hip", "AP", "trunk", "hip", (8, -25, 0), (195, 235), roll=(0, 4), pose={"rotation_out": -8}, scatter=0.35,
       energy=0.85, share=2),
    _P("hip", "FROG_LEG", "trunk", "hip_fixed", (8, -18, 0), (205, 220), roll=(0, 5),
       pose={"abduction": 42, "leg_flexion": 35, "rotation_out": 40, "knee": 60}, scatter=0.35, energy=0.85),
    _P("femur", "AP", "trunk", "hip", (14, -208, 0), (185, 455), roll=(0, 4), scatter=0.3, energy=0.85),
    _P("femur", "LATERAL", "hip", "hip", (0, -222, 8), (200, 445), turn=90, roll=(0, 6), pose={"knee": 18},
       scatter=0.35, energy=0.8, uneven=True),
    _P("knee", "AP", "leg", "knee", (0, 2, 0), (150, 200), roll=(0, 5), share=2),
    _P("knee", "LATERAL", "leg", "knee", (0, 12, 6), (165, 200), turn=90, roll=(0, 10), pose={"knee": 26}, share=2),
    _P("patella", "AXIAL", "leg", "patella", (0, 0, -26), (130, 105), tilt=-74, roll=(0, 6), pose={"knee": 68},
       scatter=0.25),
    _P("lower_leg", "AP", "leg", "lower_leg", (4, -196, 0), (155, 465), roll=(0, 5)),
    _P("lower_leg", "LATERAL", "leg", "lower_leg", (0, -196, -8), (175, 465), turn=90, roll=(0, 6), pose={"knee": 18}),
    _P("ankle", "AP", "leg", "ankle", (0, 14, 0), (118, 165), roll=(0, 5), share=1.2, pose={"ankle": 4}),
    _P("ankle", "MORTISE", "leg", "ankle", (2, 14, 0), (118, 160), turn=-18, roll=(0, 5), share=0.8,
       pose={"ankle": 4}),
    _P("ankle", "LATERAL", "leg", "ankle", (0, 4, 8), (165, 175), turn=90, roll=(0, 8), share=1.4, pose={"ankle": 8}),
    _P("foot", "AP", "leg", "foot", (4, -36, 70), (124, 238), tilt=-76, uneven=True, roll=(0, 8), pose={"ankle": 32},
       share=1.4),
    _P("foot", "OBLIQUE", "leg", "foot", (4, -36, 66), (128, 240), tilt=-80, uneven=True, swing=-36, roll=(0, 8),
       pose={"ankle": 32}),
    _P("foot", "LATERAL", "leg", "foot", (0, -24, 50), (275, 145), turn=90, roll=(0, 6), pose={"ankle": 4}),
    _P("toe", "AP", "leg", "toe1", (12, 22, 0), (88, 110), roll=(0, 10), pose={"ankle": 30, "toes": 4}),
    _P("toe", "OBLIQUE", "leg", "toe1", (12, 22, 0), (88, 110), turn=38, roll=(0, 12), pose={"ankle": 30, "toes": 6}),
    _P("calcaneus", "LATERAL", "leg", "calcaneus", (0, 4, 2), (128, 105), turn=90, roll=(0, 7), pose={"ankle": 4}),
    _P("calcaneus", "AXIAL", "leg", "calcaneus", (0, 0, -4), (98, 125), tilt=-46, roll=(0, 6), pose={"ankle": -6},
       scatter=0.25),
    _P("long_leg", "AP", "trunk", "pelvis", (0, -408, 0), (395, 1010), roll=(0, 1.5), scatter=0.3, energy=0.85,
       shift=0.02, share=2),
    _P("long_leg", "AP", "trunk", "hip", (-6, -408, 0), (215, 1000), roll=(0, 1.5), scatter=0.3, energy=0.85,
       shift=0.02),
    _P("skull", "PA", "neck", "skull", (0, 8, 0), (205, 265), roll=(0, 4), pose={"nod": 6}, scatter=0.3, energy=0.9),
    _P("skull", "LATERAL", "neck", "skull", (0, 10, 2), (255, 245), turn=90, roll=(0, 5), scatter=0.3, energy=0.9,
       share=1.2),
)  # fmt: skip

SHARES: Mapping[str, float] = {
    "hand": 8.5, "finger": 3.5, "thumb": 2.2, "wrist": 6.0, "forearm": 2.6, "elbow": 4.0, "humerus": 2.4,
        "shoulder": 7.0, "clavicle": 1.8, "scapula": 1.4,
    "cervical_spine": 4.5, "thoracic_spine": 3.0, "lumbar_spine": 6.5, "sacrum": 1.5, "pelvis": 5.0, "hip": 5.0,
        "femur": 2.6, "knee": 9.0, "patella": 2.0,
    "lower_leg": 3.0, "ankle": 5.5, "foot": 6.5, "toe": 2.4, "calcaneus": 1.7, "long_leg": 1.6, "skull": 2.2,
    "chest": 3.0, "abdomen": 1.4, "dental_panoramic": 0.9, "ct_slice": 0.8, "photographed_page": 0.7,
        "blank_exposure": 0.7,
}  # fmt: skip
"""How often each label occurs in an export: a mild long tail, 7 % of it not musculoskeletal."""


def protocols_of(label: str) -> tuple[Protocol, ...]:
    """The protocols of a label; none for the kinds that are not musculoskeletal."""
    return tuple(protocol for protocol in PROTOCOLS if protocol.label == label)


def build(protocol: Protocol, body: Body, generator: np.random.Generator) -> Region:
    """Poses the body for a protocol, with the small differences of every exposure."""
    pose = {key: float(value) for key, value in protocol.pose.items()}
    for key, value in pose.items():
        if key not in ("ray", "arms", "drop"):
            pose[key] = value + float(generator.normal(0, 1.0 + 0.07 * abs(value)))
    if "ray" in pose:
        pose["ray"] = float(generator.integers(2, 6))
    ray = int(pose.get("ray", 0))
    region = REGIONS[protocol.region](body, pose, generator)
    if ray:
        region.frames["finger"] = region.frames[f"finger{ray}"]
    region.frames["hip_fixed"] = Frame.at((90, 0, 0))
    return region
