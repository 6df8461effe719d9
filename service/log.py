"""Log lines as text for people or as JSON for machines; both carry the same fields, and none of a patient's."""

import json
import logging
import sys
import time
import warnings
from contextvars import ContextVar
from typing import Any, Final, Literal

FIELDS: Final = "fields"
"""Name of the attribute in which a log record carries its fields: `logger.info(text, extra={FIELDS: {...}})`."""

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""Of the request that is being answered; in every line that is logged meanwhile."""

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, message, and the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        milliseconds = int(record.msecs)
        entry: dict[str, Any] = {
            "time": f"{time.strftime(_TIME_FORMAT, time.gmtime(record.created))}.{milliseconds:03d}Z",
            "level": record.levelname,
            "message": record.getMessage(),
            **({"request_id": REQUEST_ID.get()} if REQUEST_ID.get() else {}),
            **getattr(record, FIELDS, {}),
        }
        return json.dumps(entry, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Time, level, message, and the request's identifier where there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", f"{_TIME_FORMAT}%z")

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = super().format(record)
        return f"{line} [{REQUEST_ID.get()}]" if REQUEST_ID.get() else line


def set_up_log(log_format: Literal["text", "json"]) -> None:
    """Log to standard output; what quotes the files it reads is silenced."""
    warnings.simplefilter("ignore")  # decoders warn with the values of attributes, which may be a patient's
    logging.getLogger("bentoml").setLevel(logging.WARNING)
    for name in ("pydicom", "python_multipart"):
        logging.getLogger(name).disabled = True
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logger = logging.getLogger("samx")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
