"""What the client makes of what callers hand in and services answer; no service needed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import httpx
import pytest

from service.launch import free_port
from tsugiki.client import Client, Predictions, TsugikiProblem
from tsugiki.client import inputs as client_inputs
from tsugiki.client.inputs import chunks, on_wire, sample_on_wire
from tsugiki.client.problem import problem_of, refusal
from tsugiki.client.transport import Call, Transport
from tsugiki.client.waiting import until_finished

PROBLEM = {
    "type": "urn:tsugiki:problem:invalid",
    "title": "Invalid input",
    "status": 422,
    "detail": "/samples/3/label: is empty",
    "code": "invalid",
    "fix": "give it a name.",
    "errors": [{"pointer": f"/samples/{i}/label", "code": "label_empty", "detail": "is empty"} for i in range(7)],
    "request_id": "req_1",
}


def test_a_problem_reads_as_what_happened_and_what_to_do() -> None:
    lines = str(problem_of(PROBLEM)).splitlines()
    assert lines[0] == "422 invalid: /samples/3/label: is empty. give it a name (request req_1)"
    assert lines[1] == "  /samples/0/label: is empty"
    assert lines[-1] == "  and 2 more"


def test_a_jobs_error_reads_without_a_status() -> None:
    assert str(problem_of({"code": "too_few", "detail": "1 label"})) == "too_few: 1 label"


def test_a_problem_document_is_read_whole() -> None:
    problem = refusal(httpx.Response(422, json=PROBLEM))
    assert (problem.status, problem.code, problem.request_id) == (422, "invalid", "req_1")
    assert len(problem.errors) == 7


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"\xff", b"[]", b"{}"])
def test_an_answer_from_elsewhere_is_a_problem_too(body: bytes) -> None:
    problem = refusal(httpx.Response(502, content=body))
    assert (problem.status, problem.code) == (502, "http_502")
    assert problem.detail


def test_bytes_travel_as_base64() -> None:
    assert on_wire(b"\x89PNG") == {"base64": "iVBORw=="}
    assert on_wire("text") == "text"


def test_pairs_and_mappings_are_samples() -> None:
    assert sample_on_wire(("a", "x")) == {"input": "a", "label": "x"}
    assert sample_on_wire(("a", None)) == {"input": "a", "label": None}
    assert sample_on_wire({"input": b"a", "source": "mail"}) == {"input": {"base64": "YQ=="}, "source": "mail"}


@pytest.mark.parametrize("sample", ["ab", ("a",), ("a", "b", "c"), {"text": "a"}])
def test_what_is_no_sample_is_refused_before_it_is_sent(sample: object) -> None:
    with pytest.raises(ValueError, match="a sample"):
        sample_on_wire(sample)  # pyright: ignore[reportArgumentType]  # on purpose


def test_chunks_keep_order_and_both_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [(f"text {i}", "label") for i in range(25)]
    monkeypatch.setattr(client_inputs, "MAX_ROWS", 10)
    by_rows = list(chunks(samples))
    assert [len(rows) for rows in by_rows] == [10, 10, 5]
    assert [row["input"] for rows in by_rows for row in rows] == [text for text, _ in samples]
    monkeypatch.setattr(client_inputs, "MAX_BYTES", 100)
    assert max(len(rows) for rows in chunks(samples)) < 4
    assert sum(len(rows) for rows in chunks(samples)) == 25


def test_a_row_larger_than_a_chunk_is_sent_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_inputs, "MAX_BYTES", 50)
    assert [len(rows) for rows in chunks([("a", "x"), ("b" * 99, "x"), ("c", "x")])] == [1, 1, 1]


def test_replies_of_one_prediction_are_numbered_through() -> None:
    def reply(texts: int) -> dict[str, object]:
        rows = [{"index": i, "outcome": "label", "label": "x", "score": 0.5} for i in range(texts)]
        return {"project": "p", "version": 3, "alias": None, "method": "head", "data": rows}

    answers = Predictions.of([reply(2), reply(3)])
    assert [answer.index for answer in answers] == [0, 1, 2, 3, 4]
    assert (len(answers), answers.version, answers[-1].index, answers.labels) == (5, 3, 4, ["x"] * 5)


def test_a_bad_row_holds_its_problem_and_no_label() -> None:
    row = {"index": 0, "error": PROBLEM}
    answer = Predictions.of([{"project": "p", "version": 1, "method": "head", "data": [row]}])[0]
    assert isinstance(answer.problem, TsugikiProblem)
    assert (answer.outcome, answer.label, answer.score) == (None, None, None)


def test_waiting_ends_with_the_job_or_the_time() -> None:
    @dataclass(frozen=True)
    class Job:
        finished: bool

    looks = iter([Job(False), Job(True)])
    assert until_finished(lambda: next(looks), timeout_s=60).finished
    with pytest.raises(TimeoutError, match="going on"):
        until_finished(lambda: Job(False), timeout_s=0)


def test_a_client_without_a_key_says_where_to_find_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TSUGIKI_KEY", raising=False)
    with pytest.raises(ValueError, match="TSUGIKI_KEY"):
        Client()


def test_the_client_imports_nothing_of_the_core() -> None:
    code = "import sys, tsugiki.client; print(*[m for m in sys.modules if m.startswith(('tsugiki', 'numpy', 'torch'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name == "tsugiki" or name.startswith("tsugiki.client") for name in done.stdout.split())


@pytest.mark.parametrize(
    ("method", "pauses_s"), [("GET", [0.25, 0.5, 1.0]), ("POST", [0.25, 0.5, 1.0]), ("DELETE", [])]
)
def test_a_service_out_of_reach_is_tried_again_only_where_twice_is_as_once(method: str, pauses_s: list[float]) -> None:
    paused: list[float] = []
    transport = Transport(f"http://127.0.0.1:{free_port()}", "key", timeout_s=5, pause=paused.append)
    with pytest.raises(httpx.ConnectError):
        transport.send(Call(method, "/v1/projects/p"))
    transport.close()
    assert paused == pauses_s
