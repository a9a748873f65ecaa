"""Logs as one JSON object a line, made from an allow-list of fields: nothing of a patient can get in by accident."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Final

# Fields a log call may add with `extra=`. Everything else is dropped.
FIELDS: Final = ("request", "source", "interaction", "status", "count", "seconds", "code", "job", "address", "state")
_LONGEST: Final = 500


class JsonLines(logging.Formatter):
    """Time, level, logger, message and the allowed fields; an exception by type and place, never by its text."""

    def format(self, record: logging.LogRecord) -> str:
        """One line. A message is a constant of the program: arguments are not interpolated from data."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_LONGEST],
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info and record.exc_info[0]:
            # The text of an exception may repeat what a source sent; its type and place never do.
            line["error"] = record.exc_info[0].__name__
            trace, where = record.exc_info[2], []
            while trace is not None:
                where.append(f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}")
                trace = trace.tb_next
            line["where"] = where[-8:]
        return json.dumps(line, ensure_ascii=True, default=str)


def configure(level: str) -> None:
    """Send everything through the formatter, to standard error. uvicorn's access log, which holds URLs, is off."""
    stream = logging.StreamHandler()
    stream.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "aiohttp.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
    logging.getLogger("uvicorn.access").disabled = True
