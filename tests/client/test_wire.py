"""What the client makes of what callers hand in and services answer; no service needed."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from PIL import Image

from service.launch import free_port
from tsugiki.client import Audio, Client, Input, Predictions, TsugikiProblem
from tsugiki.client import inputs as client_inputs
from tsugiki.client.inputs import chunks, listed, modality_of, on_wire, sample_on_wire
from tsugiki.client.problem import problem_of, refusal
from tsugiki.client.samples import merged
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


def test_files_pictures_and_sounds_travel_as_files(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG")
    assert on_wire(path) == on_wire(b"\x89PNG")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8))
    with Image.open(io.BytesIO(sent(picture))) as read:
        assert read.format == "PNG" and np.array_equal(np.asarray(read), np.asarray(picture))


@pytest.mark.parametrize("shape", [(1_000,), (1_000, 2)])
@pytest.mark.parametrize("kind", ["float32", "float64", "int16", "int32", ">f4"])
def test_a_sound_is_read_back_as_it_was(kind: str, shape: tuple[int, ...]) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    whole = {"int16": 2.0**15, "int32": 2.0**31}.get(kind)
    if whole is not None:
        samples = np.round(samples * 2.0**15) / 2.0**15
    given = (samples if whole is None else samples * whole).astype(kind)
    read, rate = soundfile.read(io.BytesIO(sent(Audio(given, 44_100))), dtype="float32")
    assert rate == 44_100 and np.array_equal(read, samples)


@pytest.mark.parametrize(
    "samples", [np.zeros((2, 1_000)), np.zeros((2, 2, 2)), np.zeros(0), np.zeros(9, np.uint8), ["a"], 1.0]
)
def test_what_is_no_sound_is_refused_before_it_is_sent(samples: object) -> None:
    with pytest.raises(ValueError, match="a sound is"):
        on_wire(Audio(samples, 16_000))


def test_what_no_input_can_be_is_refused_with_what_can() -> None:
    with pytest.raises(TypeError, match="Audio"):
        on_wire(np.zeros(9))
    with pytest.raises(FileNotFoundError):
        on_wire(Path("nowhere.png"))
    assert on_wire(None) is None and on_wire({"url": "x"}) == {"url": "x"}  # the service says why not


def test_a_single_input_is_a_list_of_one() -> None:
    one: list[Input] = ["text", b"file", Path("a.png"), Audio([0.0], 8_000), Image.new("RGB", (1, 1))]
    assert [listed(value) for value in one] == [[value] for value in one]
    assert listed(iter(one)) == one


def test_a_new_projects_modality_is_its_first_samples() -> None:
    sound, picture = Audio([0.5, 0.1], 8_000), Image.new("RGB", (1, 1))
    for given, modality in ((sound, "audio"), (picture, "image"), ("text", "text")):
        assert modality_of([sample_on_wire((given, "a")), {"input": "later"}]) == modality
    assert modality_of([]) == "text"
    for unclear in (b"", b"x", b"x" * 99):
        with pytest.raises(ValueError, match="modality="):
            modality_of([sample_on_wire((unclear, "a"))])


def test_batches_sent_one_after_the_other_read_as_one() -> None:
    def batch(statuses: str) -> dict[str, object]:
        counts = {"accepted": statuses.count("a"), "rejected": statuses.count("r"), "duplicates": 0, "quarantined": 0}
        return {**counts, "data": [{"index": i} for i in range(len(statuses))], "readiness": statuses}

    whole = merged([batch("aar"), batch("ra")])
    assert (whole["accepted"], whole["rejected"], whole["readiness"]) == (3, 2, "ra")
    assert [row["index"] for row in whole["data"]] == [0, 1, 2, 3, 4]


def sent(value: Input) -> bytes:
    return base64.b64decode(on_wire(value)["base64"])


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
    by_rows = list(chunks(map(sample_on_wire, samples)))
    assert [len(rows) for rows in by_rows] == [10, 10, 5]
    assert [row["input"] for rows in by_rows for row in rows] == [text for text, _ in samples]
    monkeypatch.setattr(client_inputs, "MAX_BYTES", 100)
    assert max(len(rows) for rows in chunks(map(sample_on_wire, samples))) < 4
    assert sum(len(rows) for rows in chunks(map(sample_on_wire, samples))) == 25


def test_a_row_larger_than_a_chunk_is_sent_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_inputs, "MAX_BYTES", 50)
    assert [len(rows) for rows in chunks(["a", "b" * 99, "c"])] == [1, 1, 1]


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
    own = ("tsugiki", "tsugiki.media")
    assert all(name in own or name.startswith("tsugiki.client") for name in done.stdout.split())


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


@contextmanager
def busy_for(requests: int, keys: list[str | None]) -> Generator[str]:
    """A server at work on the first request, which it cuts off; the reply is there after so many that find it busy."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            keys.append(self.headers["Idempotency-Key"])
            self.rfile.read(int(self.headers["Content-Length"]))
            if len(keys) == 1:
                return  # without a word: the connection is closed
            done = len(keys) > 1 + requests
            told = {"done": True} if done else {**PROBLEM, "status": 409, "code": "idempotency_in_progress"}
            body = json.dumps(told).encode()
            self.send_response(200 if done else 409)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("requests", "ends"), [(12, True), (1_000, False)])
def test_what_an_earlier_attempt_began_is_waited_for_as_long_as_it_was_asked_to_take(requests: int, ends: bool) -> None:
    """In pauses that are counted, not slept; for ever it is not waited for either."""
    pauses: list[float] = []
    keys: list[str | None] = []
    call = Call("POST", "/adapt", body={}, wait_s=10.0)
    with busy_for(requests, keys) as url:
        transport = Transport(url, "tsk_key", timeout_s=5.0, pause=pauses.append)
        if ends:
            assert transport.send(call) == {"done": True}
            assert len(keys) == requests + 2
        else:
            with pytest.raises(TsugikiProblem) as refused:
                transport.send(call)
            assert refused.value.status == 409
            assert 15.0 <= sum(pauses) < 20.0
        transport.close()
    assert len(set(keys)) == 1


def test_a_mapping_is_one_input() -> None:
    given = {"base64": "eA=="}
    assert listed(given) == [given]
    assert listed([given, "text"]) == [given, "text"]
