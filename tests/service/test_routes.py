import base64
import io

import numpy as np
import pytest
from PIL import Image

from service.border import SYSTEM_PATHS
from service.schemas import Classification, ModelDescription, Problem
from tests.service.conftest import App
from tests.service.files import PATIENT, dicom_file
from tests.small_artifact import synthetic_png

PNG = synthetic_png(3)


def test_answers_follow_the_documented_schemas(app: App) -> None:
    Classification.model_validate(app.classify(PNG, "/classify?grad_cam=true").json())
    ModelDescription.model_validate(app.request("GET", "/model").json())
    Problem.model_validate(app.classify(b"text").json())


def test_answer_names_model_classes_codes_and_tag(app: App, knee_dicom: bytes) -> None:
    answer = app.classify(knee_dicom, "/classify?top_k=4").json()
    assert answer["model"] == {"name": "small", "version": "1.0.0"}
    assert answer["radiograph"] == {"format": "dicom", "rows": 120, "columns": 90, "was_negative": False}
    probabilities = [entry["probability"] for entry in answer["classes"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    knee = next(entry for entry in answer["classes"] if entry["label"] == "knee")
    assert knee["body_part_examined"] == "KNEE"
    assert knee["code"] == {"value": "72696002", "scheme": "SCT", "meaning": "Knee"}
    assert answer["tag"] == {"body_part_examined": "KNEE", "agrees": answer["classes"][0]["label"] == "knee"}


def test_three_classes_are_answered_by_default(app: App) -> None:
    assert len(app.classify(PNG).json()["classes"]) == 3


def test_heat_map_and_radiograph_lie_on_each_other(app: App) -> None:
    answer = app.classify(PNG, "/classify?grad_cam=true").json()
    heat_map = answer["grad_cam"]
    overlay = Image.open(io.BytesIO(base64.b64decode(heat_map["overlay_png_base64"])))
    image = Image.open(io.BytesIO(base64.b64decode(heat_map["image_png_base64"])))
    assert (overlay.format, overlay.mode, image.format, image.mode) == ("PNG", "RGB", "PNG", "L")
    assert overlay.size == image.size == (heat_map["width"], heat_map["height"]) == (120, 120)
    assert heat_map["label"] == answer["classes"][0]["label"]
    pixels = np.asarray(image)
    assert pixels.std() > 10
    assert not np.array_equal(np.asarray(overlay)[..., 0], pixels)


def test_free_text_in_the_tag_is_not_repeated(app: App) -> None:
    response = app.classify(dicom_file(BodyPartExamined=PATIENT.upper()))
    assert response.json()["tag"] == {"body_part_examined": None, "agrees": None}
    assert PATIENT.lower() not in response.text.lower()


def test_answer_may_not_be_cached(app: App) -> None:
    assert app.classify(PNG).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/app.js", "/style.css", "/icon.svg"])
def test_page_is_served_with_a_strict_policy(app: App, path: str) -> None:
    response = app.request("GET", path)
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert app.request("HEAD", path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/app.js", "/style.css", "/icon.svg"])
def test_page_loads_nothing_from_elsewhere(app: App, path: str) -> None:
    text = app.request("GET", path).text.replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/docs/oauth2-redirect", "/docs.json", "/schema.json", "/x/../model"]
)
def test_other_paths_are_404(app: App, path: str) -> None:
    response = app.request("GET", path)
    if path != "/x/../model":  # httpx resolves it
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/classify"), ("POST", "/model"), ("DELETE", "/"), ("PUT", "/app.js")]
)
def test_other_methods_are_405_and_allowed_ones_named(app: App, method: str, path: str) -> None:
    response = app.request(method, path)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"]


def test_allowed_methods_are_those_of_all_routes_of_a_path(app: App) -> None:
    assert app.request("PUT", "/sort").headers["allow"] == "GET, POST"
    assert app.request("POST", "/sort/20260101-000000-abc").headers["allow"] == "DELETE, GET"
    assert app.request("POST", "/").headers["allow"] == "GET, HEAD"


def test_openapi_documents_bodies_parameters_and_every_problem(app: App) -> None:
    document = app.request("GET", "/openapi.json").json()
    assert set(document["paths"]) == {
        *("/classify", "/classify_batch", "/model", "/model/reload", "/sort", "/sort/{job_id}"),
        *SYSTEM_PATHS,
    }
    classify = document["paths"]["/classify"]["post"]
    content = classify["requestBody"]["content"]
    assert set(content) == {
        "multipart/form-data",
        "application/dicom",
        "application/octet-stream",
        "image/png",
        "image/jpeg",
        "image/tiff",
    }
    assert set(content["multipart/form-data"]["schema"]["properties"]) == {"file", "top_k", "grad_cam"}
    assert [parameter["name"] for parameter in classify["parameters"]] == ["top_k", "grad_cam"]
    assert set(classify["responses"]) == {"200", "400", "401", "405", "408", "413", "415", "422", "431", "503"}
    for status, response in classify["responses"].items():
        if status != "200":
            schema = response["content"]["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}
    assert "Retry-After" in classify["responses"]["503"]["headers"]
    assert {"Problem", "Classification", "ModelDescription"} <= set(document["components"]["schemas"])


def test_openapi_is_valid(app: App) -> None:
    validate = pytest.importorskip("openapi_spec_validator", reason="openapi-spec-validator comes with moto").validate
    validate(app.request("GET", "/openapi.json").json())
