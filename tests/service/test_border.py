import logging
from typing import Any

import anyio
import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from service.border import HEALTH_PATHS, LINGER_BYTES, Border
from service.log import REQUEST_ID


def call(app: Any, **scope: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.request(scope.pop("method", "GET"), scope.pop("path", "/known"), **scope)

    return anyio.run(send)


def test_unknown_path_is_one_path_for_all_that_follows() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["path"], scope["raw_path"]))
        await PlainTextResponse("x")(scope, receive, send)

    border = Border(app, ["/known"])
    for path in ("/Wunibald", "/known/", "/known/Wunibald", "//known", "/known"):
        call(border, path=path)
    assert seen[:4] == [("/unknown", b"/unknown")] * 4
    assert seen[4][0] == "/known"


def test_exception_becomes_a_problem_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("Wunibald")

    with caplog.at_level(logging.INFO, logger="samx.service"):
        response = call(Border(app, ["/known"]))
    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert response.headers["content-type"] == "application/problem+json"
    assert "builtins.ValueError at" in caplog.text
    assert "Wunibald" not in caplog.text + response.text


def test_foreign_error_body_is_replaced_and_its_headers_stay() -> None:
    app = PlainTextResponse("Not able to process the request", status_code=405, headers={"Allow": "POST"})
    response = call(Border(app, ["/known"]))
    assert response.json()["code"] == "method_not_allowed"
    assert response.headers["allow"] == "POST"
    assert response.headers["content-length"] == str(len(response.content))


def test_query_and_unknown_method_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    border = Border(PlainTextResponse("x"), ["/known"])
    with caplog.at_level(logging.INFO, logger="samx.service"):
        call(border, path="/known?patient=Wunibald")
        call(border, method="WUNIBALD")
    assert [record.getMessage().split(",")[0] for record in caplog.records] == ["GET /known 200", "OTHER /known 200"]


def test_websocket_is_closed_before_it_is_counted() -> None:
    sent: list[Message] = []

    async def unreached(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    anyio.run(Border(unreached, []), {"type": "websocket", "path": "/x"}, receive, send)
    assert sent == [{"type": "websocket.close"}]


@pytest.mark.parametrize(("num_chunks", "num_read"), [(20, 20), (100_000, LINGER_BYTES // (1 << 20))])
def test_rest_of_a_body_is_discarded_between_the_answer_and_its_end(num_chunks: int, num_read: int) -> None:
    """The client has all of the answer before the discarding begins, and the connection closes only after it."""
    events: list[str] = []
    chunk = bytes(1 << 20)
    num_received = 0

    async def receive() -> Message:
        nonlocal num_received
        num_received += 1
        events.append("read")
        return {"type": "http.request", "body": chunk, "more_body": num_received < num_chunks}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert (b"connection", b"close") in message["headers"]
        else:
            events.append(f"{len(message['body'])} bytes, {'more' if message.get('more_body') else 'end'}")

    scope = {"type": "http", "method": "POST", "path": "/known", "headers": [(b"transfer-encoding", b"chunked")]}
    anyio.run(Border(PlainTextResponse("early", status_code=200), ["/known"]), scope, receive, send)
    assert events[0] == "5 bytes, more"
    assert events[-1] == "0 bytes, end"
    assert events[1:-1] == ["read"] * num_read


def test_client_that_waits_to_be_asked_for_its_body_is_not_waited_for() -> None:
    async def receive() -> Message:
        raise AssertionError("reading would send 100 Continue")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-length", b"1000000000"), (b"expect", b"100-continue")]
    scope = {"type": "http", "method": "POST", "path": "/known", "headers": headers}
    anyio.run(Border(PlainTextResponse("early"), ["/known"]), scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


def test_a_path_with_a_parameter_is_its_template_in_log_and_metrics(caplog: pytest.LogCaptureFixture) -> None:
    inside = []

    async def routes(scope: Scope, receive: Receive, send: Send) -> None:
        inside.append(scope["path"])
        await PlainTextResponse("x")(scope, receive, send)

    border = Border(routes, ["/known", "/jobs/{job_id}"])
    with caplog.at_level(logging.INFO, logger="samx.service"):
        for path in ("/known", "/jobs/Wunibald", "/jobs/Wunibald/more", "/elsewhere"):
            call(border, path=path)
    shown = [record.getMessage().split()[1] for record in caplog.records]
    assert shown == ["/known", "/jobs/{job_id}", "/unknown", "/unknown"]
    assert inside == ["/known", "/jobs/Wunibald", "/unknown", "/unknown"]


def test_health_is_answered_by_the_system() -> None:
    border = Border(PlainTextResponse("routes"), ["/known"], system=PlainTextResponse("system"))
    others = ("/known", "/elsewhere", "/metrics")
    answers = {path: call(border, path=path).text for path in (*others, *HEALTH_PATHS)}
    assert answers == dict.fromkeys(others, "routes") | dict.fromkeys(HEALTH_PATHS, "system")


@pytest.mark.parametrize("given", ["0123456789abcdef", "123E4567-E89B-12D3-A456-426614174000"])
def test_request_identifier_travels_through(given: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="samx.service"):
        response = call(Border(PlainTextResponse("x"), ["/known"]), headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] == given
    assert REQUEST_ID.get() == ""  # it ends with its request


@pytest.mark.parametrize("given", ["Wunibald", "12345", "0" * 65, "01234567\t", ""])
def test_other_identifiers_are_replaced(given: str) -> None:
    response = call(Border(PlainTextResponse("x"), ["/known"]), headers={"X-Request-ID": given})
    assert len(response.headers["x-request-id"]) == 32
    assert int(response.headers["x-request-id"], 16)


def test_while_draining_every_answer_ends_its_connection() -> None:
    app = PlainTextResponse("x")
    assert "connection" not in call(Border(app, ["/known"])).headers
    assert call(Border(app, ["/known"], is_draining=lambda: True)).headers["connection"] == "close"


def test_every_answer_has_the_security_headers() -> None:
    for path in ("/known", "/elsewhere", "/livez"):
        headers = call(Border(PlainTextResponse("x"), ["/known"]), path=path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
