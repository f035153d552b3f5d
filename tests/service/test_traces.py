"""Spans of a real service, as a real OTLP receiver gets them: linked as the work was, and without a caller's words."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.testclient import TestClient

from service.api import create_api, edge_of
from service.guard import App, Guard
from service.traces import open_traces
from tests.jobs.deep import KEY, core_with_trainer, measured
from tests.service.asking import SAMPLES
from tests.service.in_process import in_process
from tsugiki.backbones import Loaded

CANARY = "canary7f3a9c"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@contextmanager
def receiver() -> Generator[tuple[str, list[bytes]]]:
    """Its URL, and the bodies it has got."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_request_s_trace_has_its_parts_and_its_passes_and_nothing_of_its_body(
    make_home: Callable[[], Path], tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home()
    with receiver() as (url, got):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        with in_process(home, {"tiny": tiny_folder}) as service:
            headers = {"Authorization": f"Bearer {(home / 'bootstrap-key').read_text().strip()}"}
            samples = [{**row, "input": f"{row['input']} {CANARY}"} for row in SAMPLES]
            service.http.post(
                "/adapt", json={"project": "traced", "samples": samples}, headers=headers
            ).raise_for_status()
            headers["traceparent"] = f"00-{TRACE}-{PARENT}-01"
            reply = service.http.post(
                "/predict", json={"project": "traced", "inputs": [CANARY, "pay"]}, headers=headers
            )
            reply.raise_for_status()
        bodies = list(got)
    assert not any(CANARY.encode() in body or b"tsugiki_" in body for body in bodies)
    assert any(b"adaptation" in body for body in bodies)  # the scan above would have seen what is written so
    spans = [span for body in bodies for span in _spans(body)]
    mine = {span.name: span for span in spans if span.trace_id.hex() == TRACE}
    assert {"POST /predict", "find", "prepare", "queue", "engine"} <= set(mine)
    request = mine["POST /predict"]
    assert request.parent_span_id.hex() == PARENT
    told = {one.key: one.value for one in request.attributes}
    assert told["http.route"].string_value == "/predict" and told["http.response.status_code"].int_value == 200
    assert told["tsugiki.request_id"].string_value == reply.headers["x-request-id"]
    assert {mine[name].parent_span_id for name in ("find", "prepare", "queue", "engine")} == {request.span_id}
    run = next(span for span in spans if span.span_id == mine["engine"].links[0].span_id)
    assert run.name == "pass" and request.span_id in {link.span_id for link in run.links}
    job = next(span for span in spans if span.name == "adaptation")
    asked = next(span for span in spans if span.name == "POST /adapt")
    assert [link.span_id for link in job.links] == [asked.span_id]
    phases = {span.name: span for span in spans if span.trace_id == job.trace_id}
    assert {"embed", "audit", "fit", "evaluate", "publish"} <= set(phases)
    assert phases["fit"].parent_span_id == job.span_id
    # Embedding is work of the job: its rows' waiting hangs there.
    assert any(span.name == "queue" and span.parent_span_id == phases["embed"].span_id for span in spans)


def test_what_the_trainer_does_is_linked_to_the_request_that_asked(
    make_lone_home: Callable[[], Path], tiny: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = measured(make_lone_home(), tiny)
    with receiver() as (url, got):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)  # the trainer's too, which is another process
        with core_with_trainer(home, tiny.source.folder) as core:
            api = create_api()
            api.state.core = core
            headers = {"Authorization": f"Bearer {KEY}", "traceparent": f"00-{TRACE}-{PARENT}-01"}
            with TestClient(cast(App, Guard(cast(App, api), edge_of(api), lambda: core)), headers=headers) as http:
                body = {"project": "deep", "samples": SAMPLES, "method": "lora", "wait_seconds": 60}
                done = http.post("/adapt", json=body).raise_for_status().json()["adaptation"]
                assert done["status"] == "succeeded"
        spans = [span for body in got for span in _spans(body)]
    (asked,) = [span for span in spans if span.name == "POST /adapt"]
    (job,) = [span for span in spans if span.name == "adaptation"]
    assert asked.trace_id.hex() == TRACE != job.trace_id.hex()
    assert [(link.trace_id, link.span_id) for link in job.links] == [(asked.trace_id, asked.span_id)]
    assert {"embed", "fit", "publish"} <= {span.name for span in spans if span.trace_id == job.trace_id}


def test_without_a_collector_there_are_no_traces() -> None:
    assert open_traces({}) is None
    assert open_traces({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}) is None


def _spans(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]
