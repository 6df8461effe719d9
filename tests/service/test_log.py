import json
import logging

from service.log import FIELDS, REQUEST_ID, JsonFormatter, TextFormatter


def record(**fields: object) -> logging.LogRecord:
    entry = logging.LogRecord("samx", logging.INFO, "file.py", 1, "GET %s", ("/model",), None)
    entry.created, entry.msecs = 1_800_000_000.5, 500.0
    if fields:
        setattr(entry, FIELDS, fields)
    return entry


def test_json_line_has_time_level_message_request_and_fields() -> None:
    token = REQUEST_ID.set("0123abcd")
    try:
        line = JsonFormatter().format(record(path="/model", status=200))
    finally:
        REQUEST_ID.reset(token)
    assert json.loads(line) == {
        "time": "2027-01-15T08:00:00.500Z",
        "level": "INFO",
        "message": "GET /model",
        "request_id": "0123abcd",
        "path": "/model",
        "status": 200,
    }
    assert "request_id" not in json.loads(JsonFormatter().format(record()))
    assert "\n" not in line


def test_text_line_ends_with_the_request() -> None:
    assert TextFormatter().format(record()).endswith("INFO GET /model")
    token = REQUEST_ID.set("0123abcd")
    try:
        assert TextFormatter().format(record()).endswith("INFO GET /model [0123abcd]")
    finally:
        REQUEST_ID.reset(token)
