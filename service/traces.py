"""Traces for OpenTelemetry, where the environment names a collector: requests, their parts, passes, jobs.

A span holds counts, names of ours and ids, nothing of what callers send. The environment is OpenTelemetry's own
(`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, …); without it nothing here is imported.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tsugiki.observed import ORIGIN, Attribute, Origin, Pass, working_for

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanContext

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
FAILED = 500  # from this status on a span is an error


def open_traces(environment: Mapping[str, str]) -> Traces | None:
    """None where no collector is named. Raises SystemExit where one is, and nothing here can speak to it."""
    named = next((name for name in ENDPOINTS if environment.get(name)), None)
    if named is None or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise SystemExit(f"tsugiki: {named} is set: pip install 'tsugiki[traces]', or unset it") from None
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": environment.get("OTEL_SERVICE_NAME", "tsugiki")})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


class Traces:
    """The Tracing port, and the spans of requests. Spans leave in a thread of their own; too many are dropped."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._api = trace
        self.kind = trace.Span
        self._provider = provider
        self._tracer = provider.get_tracer("tsugiki")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, request_id: str, headers: Mapping[bytes, bytes]) -> Origin:
        """With the request's span, of the caller's trace where it says which (W3C Trace Context)."""
        given = {name: headers.get(name.encode(), b"").decode("latin-1") for name in ("traceparent", "tracestate")}
        parent = self._propagator.extract(given)
        span = self._tracer.start_span("request", context=parent, kind=self._api.SpanKind.SERVER)
        told: dict[str, str] = {}
        self._propagator.inject(told, self._api.set_span_in_context(span))
        return Origin(request_id, span=span, trace=told.get("traceparent"))

    def end(self, span: Span, route: str, method: str, status: int, request_id: str) -> None:
        span.update_name(f"{method} {route}")
        span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "tsugiki.request_id": request_id,
            }
        )
        if status >= FAILED:
            span.set_status(self._api.StatusCode.ERROR)
        span.end()

    @contextmanager
    def span(self, name: str, **attributes: Attribute) -> Generator[None]:
        origin = ORIGIN.get()
        parent = self._within(origin)
        if parent is None:
            yield
            return
        span = self._tracer.start_span(name, context=parent, attributes=_ours(attributes))
        with working_for(replace(origin, span=span)), self._ended(span):
            yield

    @contextmanager
    def job(self, name: str, job: str, asked: Origin) -> Generator[None]:
        links = [] if asked.trace is None else [self._api.Link(self._named(asked.trace))]
        span = self._tracer.start_span(name, links=links, attributes={"tsugiki.job": job})
        with working_for(Origin(asked.request_id, job, span, asked.trace)), self._ended(span):
            yield

    def passed(self, told: Pass) -> None:
        """A span of its own, linked with all who had rows in it; and theirs of waiting for it and being in it."""
        waiting = [(waiter, waiter.origin.span) for waiter in told.waiters]
        seen = [(waiter, span) for waiter, span in waiting if isinstance(span, self._api.Span) and span.is_recording()]
        if not seen:
            return
        now = time.time_ns() - round(time.perf_counter() * 1e9)
        began, ended = now + round(told.began * 1e9), now + round(told.ended * 1e9)
        attributes = {"backbone": told.backbone, "lane": told.lane, "rows": told.rows, "tokens": told.tokens}
        links = [self._api.Link(span.get_span_context()) for _, span in seen]
        run = self._tracer.start_span("pass", attributes=_ours(attributes), links=links, start_time=began)
        if told.failed:
            run.set_status(self._api.StatusCode.ERROR)
        run.end(ended)
        link = self._api.Link(run.get_span_context())
        for waiter, span in seen:
            within = self._api.set_span_in_context(span)
            rows = _ours({"rows": waiter.rows})
            queued = now + round(waiter.queued * 1e9)
            self._tracer.start_span("queue", within, attributes=rows, start_time=queued).end(began)
            self._tracer.start_span("engine", within, attributes=rows, links=[link], start_time=began).end(ended)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def _named(self, trace: str) -> SpanContext:
        found = self._propagator.extract({"traceparent": trace})
        return self._api.get_current_span(found).get_span_context()

    def _within(self, origin: Origin) -> Context | None:
        return self._api.set_span_in_context(origin.span) if isinstance(origin.span, self._api.Span) else None

    @contextmanager
    def _ended(self, span: Span) -> Generator[None]:
        """What an error says is no attribute, as it may quote what it met: its type is."""
        try:
            yield
        except BaseException as error:
            span.set_status(self._api.StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            span.end()


def _ours(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {f"tsugiki.{name}": value for name, value in attributes.items()}
