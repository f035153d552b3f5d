"""The log on stderr, as JSON or text: each line names its request or job, and none holds a caller's words.

An exception is told by its types and the places it came through. What it says is left out, as it may quote what it met,
unless the line is logged with `OURS`.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

import orjson

from tsugiki.observed import ORIGIN

LogFormat = Literal["auto", "json", "text"]

LOUD = {"tsugiki": logging.INFO, "service": logging.INFO, "bentoml": logging.INFO, "uvicorn.error": logging.WARNING}
THEIRS = ("bentoml", "uvicorn", "circus")  # who bring handlers of their own
MUTE = ("uvicorn.access",)  # nobody reads what it would put together
MAX_CAUSES = 8
PLAIN = (AssertionError, ImportError, MemoryError, OSError, SystemExit)  # they say what we or the system wrote


def write_log(form: LogFormat) -> None:
    """From now on, of every library: what BentoML has configured by then is undone."""
    if form == "auto":
        form = "text" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in list(root.manager.loggerDict):
        log = logging.getLogger(name)
        log.disabled = False  # BentoML's configuration silences all that are older, asyncio's among them
        if name.partition(".")[0] in THEIRS:
            log.handlers, log.propagate = [], name not in MUTE
    for name, level in LOUD.items():
        logging.getLogger(name).setLevel(level)
    dbos = logging.getLogger("dbos")  # it takes a handler of its own, later, unless it has one
    dbos.handlers, dbos.propagate = [handler], False


class JsonLines(logging.Formatter):
    """One object a line: `time level logger message`, `request_id` or `job`, `error`, and what a line has besides."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {  # Any: any JSON
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **_whose(),
            **getattr(record, "told", {}),
        }
        if record.exc_info is not None and (error := record.exc_info[1]) is not None:
            line["error"] = causes(error, _ours(record))
        return orjson.dumps(line, default=str).decode()


class TextLines(logging.Formatter):
    """The same for people: `key=value` behind the message."""

    def format(self, record: logging.LogRecord) -> str:
        more = "".join(f" {name}={value}" for name, value in (_whose() | getattr(record, "told", {})).items())
        lines = [f"{_time(record)} {record.levelname} {record.name} {_message(record)}{more}"]
        if record.exc_info is not None and (error := record.exc_info[1]) is not None:
            for cause in causes(error, _ours(record)):
                lines += [f"  {cause['type']}{': ' if 'says' in cause else ''}{cause.get('says', '')}"]
                lines += [f"    {place}" for place in cause["trace"]]
        return "\n".join(lines)


def causes(error: BaseException, ours: bool) -> list[dict[str, Any]]:
    """The error and what it came of, newest first: type and places, and what is said where that is nobody's words."""
    found: list[dict[str, Any]] = []
    cause: BaseException | None = error
    while cause is not None and len(found) < MAX_CAUSES:
        told: dict[str, Any] = {
            "type": f"{type(cause).__module__}.{type(cause).__qualname__}".removeprefix("builtins.")
        }
        if ours or isinstance(cause, PLAIN):
            told["says"] = str(cause)
        found.append({**told, "trace": _places(cause.__traceback__)})
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return found


def _places(trace: TracebackType | None) -> list[str]:
    """Files, lines and functions, outermost first; no source and no values."""
    found: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_qualname}")
        trace = trace.tb_next
    return found


def _message(record: logging.LogRecord) -> str:
    """Of asyncio's the first line: the next ones show tasks and what they raised, values and all."""
    message = record.getMessage()
    return message.partition("\n")[0] if record.name == "asyncio" else message


def _ours(record: logging.LogRecord) -> bool:
    """Whether the line says that no caller's input was near (`extra=OURS`)."""
    return bool(getattr(record, "ours", False))


def _whose() -> dict[str, str]:
    origin = ORIGIN.get()
    named = {"request_id": origin.request_id, "job": origin.job}
    return {name: value for name, value in named.items() if value is not None}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
