from collections.abc import AsyncIterator

import anyio
import pytest

from service.inference import Inference
from tests.service.conftest import App, make_app
from tests.small_artifact import synthetic_png

PNG = synthetic_png(3)
FORM = "multipart/form-data; boundary=x"


def part(name: str, value: bytes, *, file_name: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name is not None else "")
    return f"--x\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--x--\r\n"


FILE = part("file", PNG, file_name="a.png")


@pytest.mark.parametrize(
    "content_type", ["", "application/dicom", "application/octet-stream", "image/png", "IMAGE/JPEG; q=1", "image/tiff"]
)
def test_raw_body_is_taken_and_its_bytes_decide_the_format(app: App, content_type: str) -> None:
    response = app.classify(PNG, headers={"Content-Type": content_type} if content_type else {})
    assert response.status_code == 200
    assert response.json()["radiograph"] == {"format": "png", "rows": 120, "columns": 90, "was_negative": False}


def test_raw_and_multipart_give_the_same_answer(app: App) -> None:
    raw = app.classify(PNG, "/classify?top_k=4&grad_cam=true")
    multipart = app.classify(form(FILE, part("top_k", b"4"), part("grad_cam", b"true")), headers={"Content-Type": FORM})
    assert raw.status_code == 200
    assert raw.json() == multipart.json()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (form(part("image", PNG, file_name="a.png")), "no_file"),
        (form(), "no_file"),
        (form(part("file", b"http://127.0.0.1:1/knee.dcm")), "file_is_text"),
        (form(part("file", PNG)), "file_is_text"),  # without a file name it is a text field
        (form(part("file", b"", file_name="")), "empty_file"),  # what a browser sends where nothing was chosen
        (form(part("file", b"", file_name="a.dcm")), "empty_file"),
        (form(FILE, FILE), "several_files"),
        (form(FILE, FILE, FILE), "malformed_multipart"),
        (form(FILE, part("topk", b"3")), "unknown_parameter"),
        (form(FILE, part("top_k", b"3"), part("top_k", b"3")), "repeated_parameter"),
        (form(FILE, part("top_k", PNG, file_name="a.png")), "invalid_top_k"),
        (form(FILE, part("grad_cam", b"perhaps")), "invalid_grad_cam"),
        (form(FILE, part("top_k", b"3" * 1025)), "malformed_multipart"),
        (form(FILE, *[part(f"field{number}", b"") for number in range(9)]), "malformed_multipart"),
        (part("file", b"x" * 9999).replace(b"form-data", b"form-data; " + b"y" * 5000), "malformed_multipart"),
        (FILE, "malformed_multipart"),  # ends before the closing boundary
        (b"hello", "malformed_multipart"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--x--\r\n", "malformed_multipart"),
        (b"", "malformed_multipart"),
    ],
)
def test_malformed_form_is_400(app: App, body: bytes, code: str) -> None:
    response = app.classify(body, headers={"Content-Type": FORM})
    assert (response.status_code, response.json()["code"]) == (400, code)


@pytest.mark.parametrize(
    "boundary", ["", "; boundary=", "; charset=zlib; boundary=x", '; boundary="\u00e4"', "; boundary=" + "y" * 999]
)
def test_odd_boundary_or_charset_is_400_at_most(app: App, boundary: str) -> None:
    response = app.classify(form(FILE), headers={"Content-Type": f"multipart/form-data{boundary}".encode("latin-1")})
    assert response.status_code in (200, 400)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("top_k=0", "invalid_top_k"),
        ("top_k=-1", "invalid_top_k"),
        ("top_k=5", "invalid_top_k"),  # the model has four classes
        ("top_k=many", "invalid_top_k"),
        ("top_k=", "invalid_top_k"),
        ("top_k=1e400", "invalid_top_k"),
        ("top_k=" + "9" * 5000, "invalid_top_k"),
        ("top_k=1&top_k=2", "repeated_parameter"),
        ("grad_cam=perhaps", "invalid_grad_cam"),
        ("patient=Wunibald", "unknown_parameter"),
    ],
)
def test_wrong_parameter_is_400_and_never_repeated(app: App, query: str, code: str) -> None:
    response = app.classify(PNG, f"/classify?{query}")
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert "Wunibald" not in response.text
    assert len(response.content) < 500


@pytest.mark.parametrize("path", ["/classify?top_k=2", "/classify?top_k=2&grad_cam=0"])
def test_top_k_is_how_many_classes_are_answered(app: App, path: str) -> None:
    answer = app.classify(PNG, path).json()
    assert len(answer["classes"]) == 2
    assert answer["grad_cam"] is None


def test_parameter_in_query_and_form_is_400(app: App) -> None:
    response = app.classify(form(FILE, part("top_k", b"1")), "/classify?top_k=1", headers={"Content-Type": FORM})
    assert (response.status_code, response.json()["code"]) == (400, "repeated_parameter")


@pytest.mark.parametrize(
    ("content_type", "status", "code"),
    [
        ("application/json", 415, "unsupported_media_type"),
        ("text/plain", 415, "unsupported_media_type"),
        ("application/zip", 415, "unsupported_media_type"),
        ("multipart/related; boundary=x", 415, "unsupported_media_type"),
        ("application/x-www-form-urlencoded", 400, "no_file"),
        ("not a media type", 415, "unsupported_media_type"),
    ],
)
def test_other_media_types_are_refused(app: App, content_type: str, status: int, code: str) -> None:
    response = app.classify(PNG, headers={"Content-Type": content_type})
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_compressed_body_is_refused_rather_than_inflated(app: App) -> None:
    response = app.classify(PNG, headers={"Content-Encoding": "gzip"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_content_encoding")


@pytest.mark.parametrize("content_type", ["application/dicom", FORM])
def test_body_over_the_limit_is_413_whether_announced_or_not(app: App, content_type: str) -> None:
    body = form(part("file", bytes(2_000_001), file_name="a.dcm"))

    async def unannounced() -> AsyncIterator[bytes]:
        yield body

    for content in (body, unannounced()):
        response = app.request("POST", "/classify", content=content, headers={"Content-Type": content_type})
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def test_body_that_takes_too_long_is_408(loaded: Inference) -> None:
    impatient = Inference(loaded.settings.model_copy(update={"body_timeout_seconds": 0.1}))
    anyio.run(impatient.serving.load)

    async def slow() -> AsyncIterator[bytes]:
        yield PNG[:100]
        await anyio.sleep(5)

    response = make_app(impatient).request("POST", "/classify", content=slow())
    assert (response.status_code, response.json()["code"]) == (408, "body_too_slow")
    with impatient.admitted():  # its place is free again
        pass


def test_nothing_is_written_to_the_temporary_folder(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starlette spools parts over 1 MB to a file; a patient's radiograph must stay in memory."""
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    response = app.classify(form(part("file", bytes(1_900_000), file_name="a.dcm")), headers={"Content-Type": FORM})
    assert response.status_code == 415
