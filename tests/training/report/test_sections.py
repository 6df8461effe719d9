"""What sections say adds up, and what the checks of heat maps left is what they measured."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from training.report.facts import GALLERY, INDEX, LABEL, SANITY, SPLIT, read_facts
from training.report.flow import flow_diagram, flow_rows
from training.report.markup import Cell, number, share, table
from training.run import Run
from training.stages.explain import PER_KIND, explain


def test_the_flow_adds_up(reported: Run) -> None:
    """Sixty-three files: sixty radiographs, one again, one cut off, and a text."""
    rows = {title: cell.text for title, cell in flow_rows(read_facts(reported))}
    assert rows["Files retrieved from the source"] == "63"
    assert rows["Not used: the same bytes as another file"] == "1"
    assert sum(int(n) for title, n in rows.items() if title.startswith("Not used")) == 3
    split, label = reported.read_json(SPLIT)["radiographs"], reported.read_json(LABEL)
    assert sum(split.values()) == reported.read_json(INDEX)["num_radiographs"] == 60
    assert split["development"] == label["num_radiographs"]
    diagram = flow_diagram(read_facts(reported))
    left_out = label["num_radiographs"] - label["num_injected"]
    entities = label["num_injected"] - label["num_not_musculoskeletal"]
    for title, count in (
        ("Retrieved", 63),
        ("Unreadable", 2),
        ("Duplicates", 1),
        ("Labelled with an entity", entities),
    ):
        before = diagram.split(f">{title}</text>")[0]
        assert re.findall(r">([\d,]+)</text>", before)[-1] == str(count)
    assert f">{left_out}</text>" in diagram


def test_the_gallery_shows_what_it_says(reported: Run) -> None:
    answers = [row["answer"] for row in reported.read_csv("evaluate/predictions.csv")]
    gallery = reported.read_json(GALLERY)
    assert {entry["label"] for entry in gallery} == set(answers)
    for entry in gallery:
        lines = [n for n in entry["shown"].values() if n]
        assert all(n <= PER_KIND for n in lines)
        assert 0 < sum(lines) <= answers.count(entry["label"])
        height = Image.open(io.BytesIO(reported.read(entry["file"]))).height
        assert (height - 4) // (112 + 4) == len(lines)


def test_scores_are_the_means_of_their_curves(reported: Run) -> None:
    sanity = reported.read_json(SANITY)
    deletion = sanity["deletion"]
    for name in ("grad_cam", "random", "middle"):
        assert np.mean(deletion["curves"][name]) == pytest.approx(deletion[name]["value"], abs=2e-4)
    gain = deletion["grad_cam_minus_random"]
    assert gain["value"] == pytest.approx(deletion["grad_cam"]["value"] - deletion["random"]["value"], abs=2e-4)
    assert sanity["beats_random"] == (gain["high"] < 0)
    starts = {curve[0] for curve in deletion["curves"].values()}
    ends = {curve[-1] for curve in deletion["curves"].values()}
    assert len(starts) == len(ends) == 1  # the whole image, and none of it, are the same for every order
    assert sanity["maps_change"] == (sanity["randomised"][-1]["high"] < 0.5)
    assert sanity["randomised"][0]["part"] == "head"


def test_the_sanity_of_a_run_is_the_same_again(reported: Run) -> None:
    before = json.dumps(reported.read_json(SANITY))
    explain(reported)
    assert json.dumps(reported.read_json(SANITY)) == before


def test_text_is_escaped_and_figures_are_rounded() -> None:
    assert "<b>" not in table("a <b>", ["", "x"], [["<b>", Cell("<b>", "<b>", "<b>")]])
    assert share({"value": 0.9724, "low": 0.9, "high": 1.0}) == "97.2 % (90.0-100.0)"
    assert share({"value": None, "low": 0.0, "high": 1.0}) == "-"
    assert (number(1234), number(0.12345), number(221.1), number(None)) == ("1,234", "0.123", "221.1", "-")
    assert table("nothing", ["", "n"], []) == ""
