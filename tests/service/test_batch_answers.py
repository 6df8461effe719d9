import json
from collections.abc import AsyncIterator

import anyio
import pytest

from service.inference import Inference
from service.schemas import BatchClassification
from tests.service.conftest import App, make_app
from tests.service.files import PATIENT, dicom_file
from tests.small_artifact import synthetic_png

HEADERS = {"Content-Type": "multipart/form-data; boundary=x"}


def part(data: bytes, name: str = "file", file_name: str | None = "a.dcm") -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name else "")
    return f"--x\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n"


def form(*files: bytes) -> bytes:
    return b"".join(map(part, files)) + b"--x--\r\n"


def test_answers_are_those_of_one_by_one_and_a_poisoned_file_changes_none(app: App) -> None:
    files = [synthetic_png(seed) for seed in range(100)]
    alone = [json.loads(app.classify(file, "/classify?top_k=4").content) for file in files]
    files[13] = dicom_file()[:3000]
    response = app.request("POST", "/classify_batch?top_k=4", content=form(*files), headers=HEADERS)
    assert response.status_code == 200
    answers = response.json()["answers"]
    assert len(answers) == 100
    assert answers[13]["classification"] is None
    assert answers[13]["problem"]["status"] == 422
    for number, answer in enumerate(answers):
        if number != 13:
            assert answer["problem"] is None
            found = {entry["label"]: entry["probability"] for entry in answer["classification"].pop("classes")}
            expected = {entry["label"]: entry["probability"] for entry in alone[number].pop("classes")}
            assert found == pytest.approx(expected, abs=1e-5)
            score = alone[number].pop("out_of_scope_score")
            assert answer["classification"].pop("out_of_scope_score") == pytest.approx(score, abs=1e-3)
            assert answer["classification"] == alone[number]


def test_every_file_has_its_own_answer_in_their_order(app: App) -> None:
    too_large = bytes(2_000_001)
    files = [synthetic_png(1), b"text", b"", too_large, dicom_file(BodyPartExamined="KNEE")]
    body = b"".join(map(part, files)) + part(b"http://127.0.0.1:1/knee.dcm", file_name=None) + b"--x--\r\n"
    response = app.request("POST", "/classify_batch", content=body, headers=HEADERS)
    answers = BatchClassification.model_validate(response.json()).answers
    codes = [answer.problem.code if answer.problem else None for answer in answers]
    assert codes == [None, "unknown_format", "empty_file", "body_too_large", None, "file_is_text"]
    assert answers[4].classification is not None
    assert answers[4].classification.tag.body_part_examined == "KNEE"
    assert PATIENT.lower() not in response.text.lower()


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("", form(), HEADERS, 400, "no_file"),
        ("", form(b"x")[:-4], HEADERS, 400, "malformed_multipart"),
        ("", part(b"3", name="top_k", file_name=None) + b"--x--\r\n", HEADERS, 400, "unknown_parameter"),
        ("?top_k=99", form(b"x"), HEADERS, 400, "invalid_top_k"),
        ("?grad_cam=true", form(b"x"), HEADERS, 400, "invalid_grad_cam"),
        ("?patient=7", form(b"x"), HEADERS, 400, "unknown_parameter"),
        ("", synthetic_png(1), {"Content-Type": "image/png"}, 415, "unsupported_media_type"),
        ("", form(*[b"x"] * 257), HEADERS, 400, "malformed_multipart"),
        ("", form(b"x"), HEADERS | {"Content-Encoding": "gzip"}, 415, "unsupported_content_encoding"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(
    app: App, path: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    response = app.request("POST", f"/classify_batch{path}", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_files_are_answered_while_the_form_still_arrives_and_few_are_held(loaded: Inference) -> None:
    """The next file is not even received before there is room for it."""
    most = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal most
        for seed in range(30):
            most = max(most, seed - num_read)
            yield part(synthetic_png(seed))
        yield b"--x--\r\n"

    num_read = 0
    app = make_app(Inference(loaded.settings))
    app.inference.serving = loaded.serving
    model = loaded.serving.served.model
    read = model.read

    def counting(data: bytes) -> object:
        nonlocal num_read
        num_read += 1
        return read(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "read", counting)
        response = app.request("POST", "/classify_batch", content=body(), headers=HEADERS)
    assert len(response.json()["answers"]) == 30
    assert most <= loaded.settings.threads + 2


def test_batch_takes_places_and_gives_them_back(loaded: Inference) -> None:
    app = make_app(loaded)
    num_free = loaded.num_places - loaded.settings.threads + 1
    with loaded.admitted(num_free):
        response = app.request("POST", "/classify_batch", content=form(b"x"), headers=HEADERS)
        assert (response.status_code, response.json()["code"]) == (503, "busy")
    assert app.request("POST", "/classify_batch", content=form(b"x"), headers=HEADERS).status_code == 200
    with loaded.admitted(loaded.num_places):
        pass


def test_batch_whose_next_piece_does_not_come_is_408(loaded: Inference) -> None:
    impatient = Inference(loaded.settings.model_copy(update={"body_timeout_seconds": 0.1}))
    impatient.serving = loaded.serving

    async def slow() -> AsyncIterator[bytes]:
        yield part(synthetic_png(1))
        await anyio.sleep(5)

    response = make_app(impatient).request("POST", "/classify_batch", content=slow(), headers=HEADERS)
    assert (response.status_code, response.json()["code"]) == (408, "body_too_slow")
    with impatient.admitted(impatient.num_places):
        pass
