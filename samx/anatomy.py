"""The anatomical entities a radiograph can be sorted into, in the words of DICOM and SNOMED CT.

One row per label: the Defined Term of Body Part Examined (0018,0015) from PS3.16 Annex L, Table L-1, and the SNOMED CT
code of PS3.16 CID 4031 "Common Anatomic Region". A test holds every code against pydicom's copy of the standard.
Reading a tag is tolerant in the ways real tags vary (case, blanks, hyphens, a side, a plural, German words) by a
normalisation and a table of synonyms, never by similarity: a word that is in neither is unknown, and an unknown tag
neither agrees nor disagrees.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

NOT_MUSCULOSKELETAL = "not_musculoskeletal"
"""The class of everything that is not one of ANATOMY; phase 2 learns to recognise it."""
DISCARD = "discard"
"""Reserved label of a cluster: its images become NOT_MUSCULOSKELETAL."""
MIXED = "mixed"
"""Reserved label of a cluster: its images are left out, or the cluster is split again."""


class Code(NamedTuple):
    """A coded concept, PS3.3 section 8: Code Value, Coding Scheme Designator, Code Meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One anatomical entity."""

    label: str
    """The class name, snake case."""
    body_part_examined: str
    """Defined Term of Body Part Examined (0018,0015), PS3.16 Table L-1."""
    code: Code
    """SNOMED CT, as in PS3.16 CID 4031."""
    paired: bool
    """Whether the body has a left and a right one, so that a laterality means something."""


def _entity(label: str, body_part_examined: str, value: str, meaning: str, *, paired: bool) -> tuple[str, Anatomy]:
    return label, Anatomy(label, body_part_examined, Code(value, "SCT", meaning), paired)


ANATOMY: Mapping[str, Anatomy] = MappingProxyType(
    dict(
        [
            _entity("hand", "HAND", "85562004", "Hand", paired=True),
            _entity("finger", "FINGER", "7569003", "Finger", paired=True),
            _entity("thumb", "THUMB", "76505004", "Thumb", paired=True),
            _entity("wrist", "WRIST", "74670003", "Wrist joint", paired=True),
            _entity("forearm", "FOREARM", "14975008", "Forearm", paired=True),
            _entity("elbow", "ELBOW", "16953009", "Elbow joint", paired=True),
            _entity("humerus", "HUMERUS", "85050009", "Humerus", paired=True),
            _entity("shoulder", "SHOULDER", "16982005", "Shoulder", paired=True),
            _entity("clavicle", "CLAVICLE", "51299004", "Clavicle", paired=True),
            _entity("scapula", "SCAPULA", "79601000", "Scapula", paired=True),
            _entity("acromioclavicular_joint", "ACJOINT", "85856004", "Acromioclavicular joint", paired=True),
            _entity("cervical_spine", "CSPINE", "122494005", "Cervical spine", paired=False),
            _entity("thoracic_spine", "TSPINE", "122495006", "Thoracic spine", paired=False),
            _entity("lumbar_spine", "LSPINE", "122496007", "Lumbar spine", paired=False),
            _entity("thoracolumbar_spine", "TLSPINE", "1217256009", "Thoraco-lumbar spine", paired=False),
            _entity("whole_spine", "SPINE", "421060004", "Spine", paired=False),
            _entity("sacrum", "SSPINE", "54735007", "Sacrum", paired=False),
            _entity("sacroiliac_joint", "SIJOINT", "39723000", "Sacroiliac joint", paired=True),
            _entity("pelvis", "PELVIS", "816092008", "Pelvis", paired=False),
            _entity("hip", "HIP", "24136001", "Hip joint", paired=True),
            _entity("femur", "FEMUR", "71341001", "Femur", paired=True),
            _entity("knee", "KNEE", "72696002", "Knee", paired=True),
            _entity("patella", "PATELLA", "64234005", "Patella", paired=True),
            _entity("lower_leg", "LOWERLEG", "30021000", "Lower leg", paired=True),
            _entity("long_leg", "LOWERLIMB", "61685007", "Lower limb", paired=True),
            _entity("ankle", "ANKLE", "70258002", "Ankle joint", paired=True),
            _entity("foot", "FOOT", "56459004", "Foot", paired=True),
            _entity("toe", "TOE", "29707007", "Toe", paired=True),
            _entity("calcaneus", "CALCANEUS", "80144004", "Calcaneus", paired=True),
            _entity("skull", "SKULL", "89546000", "Skull", paired=False),
            _entity("ribs", "RIB", "113197003", "Rib", paired=True),
            _entity("sternum", "STERNUM", "56873002", "Sternum", paired=False),
        ]
    )
)
"""Label -> entity, in the order in which lists are shown."""

_ARM = ("hand", "finger", "thumb", "wrist", "forearm", "elbow", "humerus", "shoulder")
_LEG = ("hip", "femur", "knee", "patella", "lower_leg", "long_leg", "ankle", "foot", "toe", "calcaneus")
_SPINE = ("cervical_spine", "thoracic_spine", "lumbar_spine", "thoracolumbar_spine", "whole_spine", "sacrum")

# Terms that name a region with several entities in it: each of them agrees.
_REGIONS: Mapping[str, frozenset[str]] = {
    "EXTREMITY": frozenset(_ARM + _LEG),
    "UPPERLIMB": frozenset(_ARM),
    "LOWERLIMB": frozenset(_LEG),
    "LEG": frozenset(("lower_leg", "long_leg")),  # Table L-1's word for the lower leg before LOWERLEG; used for both
    "SPINE": frozenset(_SPINE),
    "CTSPINE": frozenset(("cervical_spine", "thoracic_spine")),
}

# Defined Term -> other words for it, normalised: retired and neighbouring terms of Table L-1, usage, German.
_WORDS: Mapping[str, str] = {
    "THUMB": "DAUMEN",
    "WRIST": "HANDGELENK",
    "FOREARM": "LOWERARM RADIUS ULNA RADIUSULNA UNTERARM",
    "ELBOW": "ELLENBOGEN ELLBOGEN",
    "HUMERUS": "ARM UPPERARM OBERARM",
    "SHOULDER": "SCHULTER",
    "CLAVICLE": "CLAVICULA KLAVIKULA SCHLUESSELBEIN",
    "SCAPULA": "SKAPULA SCHULTERBLATT",
    "ACJOINT": "ACROMIOCLAVICULARJOINT ACGELENK",
    "CSPINE": "CERVICALSPINE HWS",
    "TSPINE": "THORACICSPINE DORSALSPINE DSPINE BWS",
    "LSPINE": "LUMBARSPINE LSSPINE LUMBOSACRALSPINE LWS",
    "TLSPINE": "THORACOLUMBARSPINE",
    "SPINE": "WHOLESPINE FULLSPINE WIRBELSAEULE",
    "SSPINE": "SACRUM SACRALSPINE KREUZBEIN",
    "SIJOINT": "SIJ SACROILIACJOINT ISG",
    "PELVIS": "BECKEN",
    "HIP": "HIPJOINT HUEFTE HUEFTGELENK",
    "FEMUR": "THIGH UPPERLEG OBERSCHENKEL",
    "KNEE": "KNEEJOINT KNIE KNIEGELENK",
    "PATELLA": "KNIESCHEIBE",
    "LOWERLEG": "TIBIA FIBULA TIBIAFIBULA TIBFIB CALF UNTERSCHENKEL",
    "LOWERLIMB": "LONGLEG LOWEREXTREMITY GANZBEIN",
    "UPPERLIMB": "UPPEREXTREMITY",
    "EXTREMITY": "EXTREMITIES",
    "ANKLE": "ANKLEJOINT OSG SPRUNGGELENK",
    "FOOT": "FEET FUSS",
    "TOE": "ZEHE ZEHEN",
    "CALCANEUS": "HEEL OSCALCIS FERSE",
    "SKULL": "HEAD SCHAEDEL",
    "RIB": "RIBCAGE RIPPE RIPPEN",
}
_SYNONYMS: Mapping[str, str] = {word: term for term, words in _WORDS.items() for word in words.split()}

_NOT_MUSCULOSKELETAL_TERMS = (
    *(
        "CHEST",
        "THORAX",
        "LUNG",
        "ABDOMEN",
        "ABDOMENPELVIS",
        "CHESTABDOMEN",
        "CHESTABDPELVIS",
        "BREAST",
        "HEART",
        "KIDNEY",
    ),
    *("BLADDER", "COLON", "ESOPHAGUS", "STOMACH", "DUODENUM", "SMALLINTESTINE", "LARGEINTESTINE", "RECTUM"),
    *("JAW", "TEETH", "TOOTH", "DENTAL"),
)
_SIDES = ("L", "R", "LEFT", "RIGHT", "LT", "RT", "LI", "RE", "LINKS", "RECHTS", "BOTH", "BILATERAL", "BEIDE", "BDS")
_VIEWS: Mapping[str, str] = {
    **dict.fromkeys(("LL", "RL", "LATERAL", "SEITLICH"), "LAT"),
    **dict.fromkeys(("LLO", "RLO", "LPO", "RPO", "LAO", "RAO", "OBLIQUE", "SCHRAEG"), "OBL"),
}
_UMLAUTS = str.maketrans({"Ä": "AE", "Ö": "OE", "Ü": "UE"})
_LABEL_OF_TERM: Mapping[str, str] = {
    **{anatomy.body_part_examined: anatomy.label for anatomy in ANATOMY.values()},
    "LEG": "lower_leg",
    **dict.fromkeys(_NOT_MUSCULOSKELETAL_TERMS, NOT_MUSCULOSKELETAL),
}


def anatomy_of(label: str) -> Anatomy | None:
    """Returns the entity with this label, or None for reserved, free and not musculoskeletal labels."""
    return ANATOMY.get(label)


def has_sides(label: str) -> bool:
    """Whether a left and a right one exist, so that a laterality means something; of free labels it is assumed."""
    anatomy = ANATOMY.get(label)
    return label != NOT_MUSCULOSKELETAL if anatomy is None else anatomy.paired


def standard_view(view: str) -> str:
    """A view in one word of a few, upper case: LL, RL and LATERAL are LAT, and the sides' obliques OBL.

    Args:
        view: as View Position (0018,5101) has it (PS3.3 section C.8.1.3), or as people write it; "" where unknown.
    """
    words = " ".join(_words_of(view))
    return _VIEWS.get(words, words)


def label_of_body_part(body_part_examined: str) -> str | None:
    """Returns the label that a value of Body Part Examined (0018,0015) names.

    Args:
        body_part_examined: the value as it stands in the file; "" where absent.

    Returns:
        A label of ANATOMY, NOT_MUSCULOSKELETAL for a body part that is never sorted (CHEST), None for an empty
        or unknown value and for a region without an entity of its own (EXTREMITY).
    """
    return _LABEL_OF_TERM.get(_term_of(body_part_examined))


def label_in_text(text: str) -> str | None:
    """Returns the one label that a description names, such as Series Description (0008,103E): "Knie rechts a.p.".

    Words are looked up two by two, then one by one, as those of Body Part Examined are. Nothing is guessed: None where
    no word is known, or where words of different labels stand beside each other ("hand and wrist").
    """
    words = _words_of(text)
    named = set()
    while words:
        pair, word = "".join(words[:2]), words[0]
        label = _LABEL_OF_TERM.get(_SYNONYMS.get(pair, pair))
        words = words[2:] if label else words[1:]
        named.add(label or _LABEL_OF_TERM.get(_SYNONYMS.get(word, word)))
    named.discard(None)
    return named.pop() if len(named) == 1 else None


def tag_agrees(label: str, body_part_examined: str) -> bool | None:
    """Tells whether a label and a value of Body Part Examined (0018,0015) mean the same.

    A region agrees with every entity inside it: SPINE with lumbar_spine, EXTREMITY with hand.

    Returns:
        True or False, or None where nothing can be said: no tag, an unknown tag, or a label that is neither in ANATOMY
        nor NOT_MUSCULOSKELETAL.
    """
    term = _term_of(body_part_examined)
    if not term or (label not in ANATOMY and label != NOT_MUSCULOSKELETAL):
        return None
    return label == _LABEL_OF_TERM.get(term) or label in _REGIONS.get(term, frozenset())


def _term_of(value: str) -> str:
    """Returns the term a tag means, "" if none is known: the most literal reading first.

    "L-SPINE" is LSPINE before it is a left SPINE; "Knees rt" is KNEESRT, then KNEES, then KNEE.
    """
    words = _words_of(value)
    joined = "".join(words)
    without_side = "".join(word for word in words if word not in _SIDES)
    for word in (joined, without_side, without_side.removesuffix("S")):
        term = _SYNONYMS.get(word, word)
        if term in _LABEL_OF_TERM or term in _REGIONS:
            return term
    return ""


def _words_of(text: str) -> list[str]:
    return re.findall(r"[A-Z0-9]+", unicodedata.normalize("NFKC", text).upper().translate(_UMLAUTS))
