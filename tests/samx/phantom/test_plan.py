from collections import Counter, defaultdict

import pytest

from samx.anatomy import ANATOMY
from samx.phantom.plan import SHARE_OF_BAD_TAGS, plan_export, plan_one, right_tag
from samx.phantom.protocols import PROTOCOLS, SHARES
from samx.phantom.sites import SITES


@pytest.fixture(scope="module")
def planned():
    return plan_export(num_radiographs=5000, seed=11)


def test_a_plan_holds_as_many_as_were_asked_for():
    for count in (1, 7, 333):
        assert len(plan_export(num_radiographs=count, seed=2)) == count


def test_a_plan_repeats_by_seed_and_differs_between_seeds():
    assert plan_export(num_radiographs=60, seed=5) == plan_export(num_radiographs=60, seed=5)
    assert plan_export(num_radiographs=60, seed=5) != plan_export(num_radiographs=60, seed=6)


def test_labels_follow_the_shares_and_none_is_rarer_than_one_in_a_hundred(planned):
    counts = Counter(row.label for row in planned)
    total = sum(SHARES.values())
    for label, share in SHARES.items():
        assert abs(counts[label] - share / total * len(planned)) <= 1
    assert min(counts[label] for label in ANATOMY if label in counts) / len(planned) >= 0.012
    assert 0.06 <= sum(not row.musculoskeletal for row in planned) / len(planned) <= 0.08


def test_fifteen_percent_of_the_tags_are_missing_or_wrong(planned):
    wrong = sum(row.tag != right_tag(row.label) or not row.tag for row in planned)
    deviation = (SHARE_OF_BAD_TAGS * (1 - SHARE_OF_BAD_TAGS) * len(planned)) ** 0.5
    assert abs(wrong - SHARE_OF_BAD_TAGS * len(planned)) < 3.5 * deviation
    assert 0.3 < sum(not row.tag for row in planned) / wrong < 0.6


def test_no_patient_belongs_to_two_sites_and_none_has_more_than_six_radiographs(planned):
    sites, counts = defaultdict(set), Counter(row.patient for row in planned)
    for row in planned:
        sites[row.patient].add(row.site)
    assert all(len(of_patient) == 1 for of_patient in sites.values())
    assert max(counts.values()) <= 6
    assert len(counts) > len(planned) / 5


def test_sites_get_their_shares(planned):
    counts = Counter(row.site for row in planned)
    for name, site in SITES.items():
        assert counts[name] / len(planned) == pytest.approx(site.share, abs=0.02)


def test_keys_are_unique_and_say_nothing(planned):
    keys = [row.key for row in planned]
    assert len(set(keys)) == len(keys)
    for row in planned[:300]:
        assert len(row.key) == 24
        assert not any(word in row.key for word in (row.label, row.patient[-6:], row.site.lower()))


def test_every_view_of_every_label_occurs_and_paired_labels_have_both_sides(planned):
    views = {(row.label, row.view) for row in planned}
    assert {(protocol.label, protocol.view) for protocol in PROTOCOLS} <= views
    sides = {(row.label, row.laterality) for row in planned}
    for label, anatomy in ANATOMY.items():
        if label in SHARES:
            assert {side for name, side in sides if name == label} == ({"L", "R"} if anatomy.paired else {""})


def test_a_view_keeps_its_side_within_an_examination(planned):
    sides = defaultdict(set)
    for row in planned:
        sides[row.study].add((row.label, row.laterality, row.patient))
    assert all(len(found) == 1 for found in sides.values())


def test_at_least_24_entities_and_six_other_kinds():
    assert len([label for label in SHARES if label in ANATOMY]) == 26
    assert len([label for label in SHARES if label not in ANATOMY]) == 6


@pytest.mark.parametrize(
    "wrong", [{"label": "wing"}, {"label": "hand", "view": "TOWNE"}, {"label": "hand", "site": "Nowhere"}]
)
def test_unknown_words_are_refused_with_what_is_allowed(wrong):
    arguments = {"view": None, "seed": 1, "site": None} | wrong
    with pytest.raises(ValueError, match="allowed are"):
        plan_one(**arguments)


def test_an_empty_export_is_refused():
    with pytest.raises(ValueError, match="num_radiographs is 0"):
        plan_export(num_radiographs=0, seed=1)


def test_imbalance_is_what_the_commonest_label_outnumbers_the_rarest_by():
    counts = Counter(row.label for row in plan_export(num_radiographs=8822, seed=3, imbalance=200))
    ordered = sorted(counts.values(), reverse=True)
    assert (ordered[0], ordered[-1]) == (4000, 20)
    assert len(ordered) == len({row.label for row in plan_export(num_radiographs=5000, seed=3)})


def test_imbalance_below_one_is_refused():
    with pytest.raises(ValueError, match=r"imbalance is 0.5, allowed are 1 and more"):
        plan_export(num_radiographs=10, seed=1, imbalance=0.5)
