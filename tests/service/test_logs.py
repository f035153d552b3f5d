"""A line says when, what and for whom; what an exception says stays out of it, for it may be anybody's words."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Generator
from typing import Any

import pytest

from service.logs import JsonLines, TextLines
from tsugiki.observed import OURS, Origin, working_for

CANARY = "canary7f3a9c"


def failing() -> None:
    try:
        raise KeyError(CANARY)
    except KeyError as error:
        raise ValueError(f"no label {CANARY}") from error


@pytest.fixture
def written() -> Generator[list[logging.LogRecord]]:
    records: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    log = logging.getLogger("tsugiki.written")
    log.handlers, log.propagate = [Keeping()], False
    with working_for(Origin("req_1", "adp_1")):
        try:
            failing()
        except ValueError:
            log.exception("it failed")
            log.exception("it failed", extra=OURS)
        yield records


def lines(record: logging.LogRecord) -> dict[str, Any]:
    return json.loads(JsonLines().format(record))


def test_a_line_names_its_request_and_job_and_an_error_its_types_and_places(written: list[logging.LogRecord]) -> None:
    line = lines(written[0])
    assert line["time"].endswith("Z") and (line["level"], line["logger"]) == ("error", "tsugiki.written")
    assert (line["message"], line["request_id"], line["job"]) == ("it failed", "req_1", "adp_1")
    assert [cause["type"] for cause in line["error"]] == ["ValueError", "KeyError"]
    assert line["error"][0]["trace"][-1].endswith(" failing")
    assert "request_id=req_1 job=adp_1" in TextLines().format(written[0])


@pytest.mark.parametrize("form", [JsonLines, TextLines])
def test_what_an_exception_says_is_left_out_unless_it_is_ours(
    form: type[logging.Formatter], written: list[logging.LogRecord]
) -> None:
    assert CANARY not in form().format(written[0])
    assert CANARY in form().format(written[1])
    assert CANARY in logging.Formatter().format(written[0])  # what others would have written


def test_all_that_a_process_writes_is_json_whoever_writes_it() -> None:
    script = (
        "import logging, warnings, asyncio, bentoml._internal.log as theirs; from service.logs import write_log\n"
        "theirs.configure_server_logging(); write_log('auto')\n"
        "logging.getLogger('tsugiki.x').info('one'); logging.getLogger('bentoml.x').info('two')\n"
        "logging.getLogger('uvicorn.error').warning('three')\n"
        "warnings.simplefilter('always'); warnings.warn('four'); logging.warning('five')\n"
        "logging.getLogger('dbos').warning('six'); logging.getLogger('uvicorn.access').info('none')\n"
        f"logging.getLogger('asyncio').error('seven\\nfuture: <Task exception={CANARY}>')\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["logger"] for line in found] == [
        *("tsugiki.x", "bentoml.x", "uvicorn.error", "py.warnings", "root", "dbos", "asyncio")
    ]
    assert done.stdout == "" and CANARY not in done.stderr
