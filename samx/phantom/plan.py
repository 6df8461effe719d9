"""Who is exposed where and how: the whole export as rows, before anything is rendered.

A plan of thousands is made in a moment, so shares can be tested on it; `export` turns each row into a file on its own.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from samx.anatomy import ANATOMY
from samx.phantom import not_musculoskeletal
from samx.phantom.hardware import CASTED, IMPLANTED
from samx.phantom.protocols import SHARES, Protocol, protocols_of
from samx.phantom.sites import SITES

SHARE_OF_BAD_TAGS = 0.15
"""Share of Body Part Examined missing or wrong."""
TRUTH_COLUMNS = ("key", "label", "view", "laterality", "patient", "site", "musculoskeletal", "implant", "cast", "tag")
PAIRED_KINDS = frozenset(label for label, anatomy in ANATOMY.items() if anatomy.paired)


@dataclass(frozen=True, slots=True)
class PlannedRadiograph:
    """One exposure to come: everything that is decided before it is rendered."""

    seed: int
    index: int
    label: str
    view: str
    variant: int
    """Which of the label's protocols."""
    laterality: str
    """"L", "R" or ""."""
    patient: str
    patient_seed: int
    site: str
    study: int
    """Number of the examination: one Study Instance UID."""
    instance: int
    """Number of the exposure in its examination, from 1."""
    implant: bool
    cast: bool
    tag: str
    """Body Part Examined (0018,0015) as it will be written; may be empty or wrong."""

    @property
    def key(self) -> str:
        """The file's name, which says nothing about what is in it."""
        return hashlib.sha256(f"{self.seed}/{self.index}/{self.patient_seed}".encode()).hexdigest()[:20] + ".dcm"

    @property
    def musculoskeletal(self) -> bool:
        """Whether the label is an entity of the musculoskeletal system."""
        return self.label in ANATOMY

    def truth(self) -> dict[str, str]:
        """The row of truth.csv."""
        values = asdict(self) | {"key": self.key, "musculoskeletal": self.musculoskeletal}
        return {column: str(int(v) if isinstance(v := values[column], bool) else v) for column in TRUTH_COLUMNS}


def variants_of(label: str) -> tuple[tuple[str, float], ...]:
    """(view, share) of every way a label is exposed, in the order that `PlannedRadiograph.variant` counts."""
    protocols = protocols_for(label)
    if protocols:
        return tuple((protocol.view, protocol.share) for protocol in protocols)
    return ((not_musculoskeletal.PAINTED[label][1], 1.0),)


def protocols_for(label: str) -> tuple[Protocol, ...]:
    """Protocols of a label, musculoskeletal or not; empty for painted kinds."""
    return protocols_of(label) or tuple(p for p in not_musculoskeletal.BODY_PROTOCOLS if p.label == label)


def right_tag(label: str) -> str:
    """The Defined Term that belongs to a label, "" where nothing of a body is shown."""
    return (
        ANATOMY[label].body_part_examined if label in ANATOMY else not_musculoskeletal.BODY_PART_EXAMINED.get(label, "")
    )


def plan_export(*, num_radiographs: int, seed: int, imbalance: float | None = None) -> list[PlannedRadiograph]:
    """Plans an export: labels by `SHARES`, examinations of one to three views, patients of one to six radiographs.

    A patient belongs to one site.

    Args:
        num_radiographs: How many.
        seed: What patients, exposures and errors there are.
        imbalance: How many times the commonest label outnumbers the rarest; None: as in `SHARES`.

    Raises:
        ValueError: If num_radiographs is not positive, or imbalance below 1.
    """
    if num_radiographs < 1:
        raise ValueError(f"num_radiographs is {num_radiographs}, allowed are 1 and more")
    generator = np.random.default_rng((seed, 0))
    shares_of = SHARES if imbalance is None else long_tailed(SHARES, imbalance)
    examinations = _examinations(num_radiographs, shares_of, generator)
    # Sites receive patients so that their shares of radiographs come out, largest debt first.
    names, shares = list(SITES), np.array([site.share for site in SITES.values()])
    given = np.zeros(len(names))
    bad_share = _bad_share_of_the_rest()
    planned: list[PlannedRadiograph] = []
    at, patient_number = 0, 0
    while at < len(examinations):
        patient_number += 1
        patient_seed = int(generator.integers(1, 2**31))
        wanted = int(generator.choice([1, 2, 3, 4, 5, 6], p=[0.22, 0.3, 0.2, 0.14, 0.09, 0.05]))
        debt = shares * (given.sum() + 6) - given
        site = names[int(np.argmax(debt + generator.normal(0, 2.0, len(names))))]
        count = 0
        while at < len(examinations) and (count == 0 or count + len(examinations[at][1]) <= wanted):
            label, variants = examinations[at]
            laterality = ("L" if generator.random() < 0.5 else "R") if label in PAIRED_KINDS else ""
            habits = SITES[site]
            implant = label in IMPLANTED and bool(generator.random() < habits.implant)
            cast = not implant and label in CASTED and bool(generator.random() < 2 * habits.cast)
            for number, variant in enumerate(variants, start=1):
                planned.append(
                    PlannedRadiograph(
                        seed=seed,
                        index=len(planned),
                        label=label,
                        view=variants_of(label)[variant][0],
                        variant=variant,
                        laterality=laterality,
                        patient=f"PHANTOM-{patient_number:06d}",
                        patient_seed=patient_seed,
                        site=site,
                        study=at,
                        instance=number,
                        implant=implant,
                        cast=cast,
                        tag=_tag(label, bad_share, generator),
                    )
                )
            given[names.index(site)] += len(variants)
            count += len(variants)
            at += 1
    return planned


def long_tailed(shares: Mapping[str, float], imbalance: float) -> dict[str, float]:
    """Shares of the same labels by Zipf's law, in the same order of frequency: the n-th has n ** -a of the first.

    Raises:
        ValueError: If imbalance is below 1.
    """
    if imbalance < 1:
        raise ValueError(f"imbalance is {imbalance}, allowed are 1 and more")
    exponent = math.log(imbalance) / math.log(len(shares))
    by_share = sorted(shares, key=lambda label: -shares[label])
    return {label: place**-exponent for place, label in enumerate(by_share, start=1)}


def _examinations(
    num_radiographs: int, shares: Mapping[str, float], generator: np.random.Generator
) -> list[tuple[str, list[int]]]:
    """(label, variants) of every examination in random order; labels fill exact quotas."""
    labels = list(shares)
    expected = np.array(list(shares.values())) / sum(shares.values()) * num_radiographs
    quotas = np.floor(expected).astype(int)
    rest = expected - quotas
    if (missing := num_radiographs - int(quotas.sum())) > 0:
        quotas[generator.choice(len(labels), size=missing, replace=False, p=rest / rest.sum())] += 1
    examinations: list[tuple[str, list[int]]] = []
    for label, quota in zip(labels, quotas, strict=True):
        variants = variants_of(label)
        weights = np.array([share for _, share in variants])
        left = int(quota)
        while left > 0:
            views = min(left, len(variants), int(generator.choice([1, 2, 3], p=[0.35, 0.5, 0.15])))
            examinations.append(
                (
                    label,
                    [
                        int(i)
                        for i in generator.choice(len(variants), size=views, replace=False, p=weights / weights.sum())
                    ],
                )
            )
            left -= views
    return [examinations[i] for i in generator.permutation(len(examinations))]


def _bad_share_of_the_rest() -> float:
    """Share of bad tags among what has a right one; with pages and blanks, all bad, it makes the total."""
    hopeless = sum(share for label, share in SHARES.items() if not right_tag(label)) / sum(SHARES.values())
    return (SHARE_OF_BAD_TAGS - hopeless) / (1 - hopeless)


def _tag(label: str, bad_share: float, generator: np.random.Generator) -> str:
    """Body Part Examined: right, missing, or another protocol's."""
    right = right_tag(label)
    draw, other = float(generator.random()), int(generator.integers(0, 2**31))
    if right and draw >= bad_share:
        return right
    if draw < 0.45 * bad_share or (not right and draw < 0.4):
        return ""
    others = sorted({right_tag(name) for name in SHARES} - {right, ""})
    return others[other % len(others)]


def plan_one(*, label: str, view: str | None, seed: int, site: str | None) -> PlannedRadiograph:
    """A plan of one radiograph for tests and load tests.

    Raises:
        ValueError: If label, view or site is unknown.
    """
    if label not in SHARES:
        raise ValueError(f"label is {label!r}, allowed are {', '.join(SHARES)}")
    views = [name for name, _ in variants_of(label)]
    if view is not None and view not in views:
        raise ValueError(f"view of {label} is {view!r}, allowed are {', '.join(views)}")
    if site is not None and site not in SITES:
        raise ValueError(f"site is {site!r}, allowed are {', '.join(SITES)}")
    generator = np.random.default_rng((seed, 2))
    variant = views.index(view) if view is not None else int(generator.integers(len(views)))
    laterality = ("L" if generator.random() < 0.5 else "R") if label in PAIRED_KINDS else ""
    return PlannedRadiograph(
        seed=seed, index=0, label=label, view=views[variant], variant=variant, laterality=laterality,
            patient=f"PHANTOM-{seed % 10**6:06d}",
        patient_seed=seed, site=site or list(SITES)[int(generator.integers(len(SITES)))], study=0, instance=1,
            implant=False, cast=False, tag=right_tag(label),
    )  # fmt: skip
