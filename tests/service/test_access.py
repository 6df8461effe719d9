from pathlib import Path

import pydantic
import pytest
from starlette.requests import Request

from service import access
from service.access import Access
from service.inference import Inference
from service.problems import ProblemError
from service.settings import Settings
from tests.service.conftest import App, make_app
from tests.small_artifact import synthetic_png

PNG = synthetic_png(3)
ONE, TWO, ADMIN = "first-key-0123456", "second-key-012345", "admin-key-0123456"


def with_keys(loaded: Inference, **settings: object) -> App:
    """The application, asking for these keys."""
    app = make_app(loaded)
    routes = app.app._app
    routes.state.access = Access(Settings.model_validate(settings))  # type: ignore[attr-defined]
    return app


def request_with(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw})


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {ONE}"}, {"authorization": f"bearer  {TWO}"}])
@pytest.mark.parametrize("path", ["/classify", "/classify_batch", "/model", "/sort", "/sort/0"])
def test_each_of_several_keys_opens_what_none_opens_not(loaded: Inference, headers: dict[str, str], path: str) -> None:
    app = with_keys(loaded, api_keys=f"{ONE} {TWO}")
    method = "POST" if path.startswith("/classify") else "GET"
    for wrong in ({}, {"X-API-Key": ONE + "x"}, {"X-API-Key": ONE[:-1]}, {"Authorization": f"Basic {ONE}"}):
        response = app.request(method, path, headers=wrong)
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
    assert app.request(method, path, headers=headers).status_code != 401
    assert app.request(method, path, headers={"X-API-Key": ONE}).status_code != 401


def test_without_keys_everybody_may_ask_and_nobody_may_change_anything(app: App) -> None:
    assert app.classify(PNG).status_code == 200
    response = app.request("POST", "/model/reload", headers={"X-API-Key": ADMIN})
    assert (response.status_code, response.json()["code"]) == (403, "no_admin_key")


def test_admin_key_opens_everything_and_a_client_s_key_not_the_admin_s(loaded: Inference) -> None:
    app = with_keys(loaded, api_keys=ONE, admin_keys=ADMIN)
    assert app.classify(PNG, headers={"X-API-Key": ADMIN}).status_code == 200
    assert app.request("POST", "/model/reload", headers={"X-API-Key": ONE}).status_code == 401
    assert app.request("POST", "/model/reload", headers={"X-API-Key": ADMIN}).json() == {
        "model": {"name": "small", "version": "1.0.0"},
        "changed": False,
    }


def test_page_and_contract_need_no_key(loaded: Inference) -> None:
    app = with_keys(loaded, api_keys=ONE)
    assert [app.request("GET", path).status_code for path in ("/", "/app.js", "/openapi.json")] == [200] * 3


def test_keys_of_a_file_are_rotated_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "CHECK_SECONDS", 0.0)
    file = tmp_path / "keys"
    file.write_text(f"# of the PACS\n{ONE}\nshort\n\n")
    keys = Access(Settings(api_keys_file=str(file)))
    keys.require_key(request_with(x_api_key=ONE))
    file.write_text(f"{TWO}\n# rotated, and more\n")
    keys.require_key(request_with(x_api_key=TWO))
    for refused in (ONE, "short", "", "# of the PACS"):
        with pytest.raises(ProblemError):
            keys.require_key(request_with(x_api_key=refused))
    file.unlink()
    keys.require_key(request_with(x_api_key=TWO))  # what was read last stays in force


def test_missing_or_empty_file_of_keys_opens_nothing(tmp_path: Path) -> None:
    for name in ("missing", "empty"):
        (tmp_path / "empty").write_text("")
        keys = Access(Settings(api_keys_file=str(tmp_path / name)))
        with pytest.raises(ProblemError):
            keys.require_key(request_with())


def test_keys_are_long_and_stand_in_no_log() -> None:
    with pytest.raises(pydantic.ValidationError):
        Settings.model_validate({"api_keys": "short"})
    settings = Settings.model_validate({"api_keys": f"{ONE} {TWO}", "admin_keys": ADMIN})
    assert not any(key in repr(settings) + str(settings) for key in (ONE, TWO, ADMIN))
