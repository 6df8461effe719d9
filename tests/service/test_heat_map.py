import base64
import io

import numpy as np
import pytest
from PIL import Image

from samx.preprocessing import PreprocessingConfig
from samx.radiograph import Radiograph, RadiographAttributes
from samx.reading.reduction import working_shape
from service.heat_map import hottest_region, picture_of
from service.openapi import prefers_png
from service.schemas import Box
from tests.service.conftest import App
from tests.small_artifact import synthetic_png

PNG = synthetic_png(3)


def test_box_is_what_is_connected_to_the_hottest_place() -> None:
    heat = np.zeros((4, 8), np.float32)
    heat[1, 2:4] = 1.0, 0.6
    heat[2, 3] = 0.5
    heat[1, 6] = 0.9  # hot, but elsewhere
    heat[0, 2] = 0.4  # beside it, but not hot
    assert hottest_region(heat, rows=40, columns=160) == Box(x=40, y=10, width=40, height=20)
    assert hottest_region(np.zeros((4, 8), np.float32), rows=40, columns=160) is None


def test_heat_alone_and_its_box_lie_on_the_picture(app: App) -> None:
    grad_cam = app.classify(PNG, "/classify?grad_cam=true").json()["grad_cam"]
    heat = np.asarray(Image.open(io.BytesIO(base64.b64decode(grad_cam["heat_png_base64"]))))
    assert heat.shape == (grad_cam["height"], grad_cam["width"])
    box = grad_cam["hottest_region"]
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    assert box["x"] <= column < box["x"] + box["width"] <= grad_cam["width"]
    assert box["y"] <= row < box["y"] + box["height"] <= grad_cam["height"]


def test_picture_is_the_overlay_of_the_json(app: App) -> None:
    overlay = app.classify(PNG, "/classify?grad_cam=true").json()["grad_cam"]["overlay_png_base64"]
    for path in ("/classify", "/classify?grad_cam=true"):
        response = app.classify(PNG, path, headers={"Accept": "image/png"})
        assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
        assert response.content == base64.b64decode(overlay)
    refused = app.classify(b"text", headers={"Accept": "image/png"})
    assert (refused.status_code, refused.headers["content-type"]) == (415, "application/problem+json")


@pytest.mark.parametrize(("side", "expected"), [(20, 224), (320, 320), (512, 512), (2000, 512)])
def test_picture_is_as_fine_as_radiograph_and_network(side: int, expected: int) -> None:
    rows, columns = working_shape(side, side // 2, 512)
    pixels = np.random.default_rng(0).random((rows, columns), np.float32)
    radiograph = Radiograph(pixels, RadiographAttributes(), "png", side, side // 2)
    assert picture_of(radiograph, PreprocessingConfig()).image.shape == (expected, expected)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("image/png", True),
        ("IMAGE/PNG; q=0.9, application/json;q=0.5", True),
        ("application/json, image/png;q=0.9", False),
        ("image/png;q=0", False),
        ("image/png;q=wrong", False),
        ("*/*", False),
        ("image/avif,image/webp,*/*;q=0.8", False),
        ("", False),
        (",;,=;q=", False),
    ],
)
def test_picture_is_answered_where_it_is_named_and_wanted_most(accept: str, expected: bool) -> None:
    assert prefers_png(accept) == expected
