"""Traces: which work belongs to which call, over processes and machines (W3C Trace Context).

Every call of the API has a `traceparent`, the caller's or a new one; it travels on its messages, the attempts and
steps of its job are below it, and log lines name it. That is always so. Spans are made only where the environment
says who collects them, by OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT and its relatives), and nothing
of its SDK is imported else. A collector that is away costs spans, never a job.

Spans are told once they are over, with ids given out before: what is below something may end later, or elsewhere.
Source: https://www.w3.org/TR/trace-context/, https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import Tracer

HEADER = "traceparent"
PATTERN = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PASSED_ON = ("OTEL_",)
"""Beginnings of the variables a service needs for it."""

Role = Literal["server", "consumer", "client", "internal"]

_tracer: Tracer | None = None
_sampler: Sampler | None = None
_given: ContextVar[tuple[int, int]] = ContextVar("ids of the next span", default=(0, 0))


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether somebody collects spans."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return exporter != "none"
    return any(environment.get(name, "").strip() for name in ENDPOINTS)


def configure(service: str) -> None:
    """Make spans from now on, if somebody collects them. Starts a thread: not before a process has forked.

    Raises ValueError for an exporter or protocol that is not OTLP over HTTP.
    """
    if not wanted(os.environ):
        return
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() or "otlp"
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if exporter != "otlp" or (protocol or "http/protobuf") != "http/protobuf":
        raise ValueError("traces go out by OTLP over HTTP: leave OTEL_TRACES_EXPORTER and OTEL_…_PROTOCOL unset")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class GivenIds(RandomIdGenerator):  # type: ignore[misc]
        """The ids that were given out before."""

        def generate_trace_id(self) -> int:
            return _given.get()[0] or super().generate_trace_id()

        def generate_span_id(self) -> int:
            return _given.get()[1] or super().generate_span_id()

    named = {"service.name": f"siteferry-{service}", "service.namespace": "siteferry"}
    resource = Resource.create({**named, **_told_by_operator()})
    provider = TracerProvider(resource=resource, id_generator=GivenIds())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    global _tracer, _sampler
    _tracer, _sampler = provider.get_tracer("siteferry"), provider.sampler


def _told_by_operator() -> dict[str, str]:
    """OTEL_SERVICE_NAME counts, as it does everywhere."""
    name = os.environ.get("OTEL_SERVICE_NAME", "").strip()
    return {"service.name": name} if name else {}


def continued(traceparent: str | None) -> str:
    """A new span's `traceparent`: in the caller's trace if that is one, else in a new one."""
    found = PATTERN.fullmatch(traceparent or "")
    if found:
        return f"00-{found[1]}-{secrets.token_hex(8)}-{found[3]}"
    trace = secrets.token_hex(16)
    return f"00-{trace}-{secrets.token_hex(8)}-{'01' if _sampled(trace) else '00'}"


def _sampled(trace: str) -> bool:
    """Whether a new trace is recorded: OTEL_TRACES_SAMPLER decides once, for everything below it."""
    if _sampler is None:
        return True
    return bool(_sampler.should_sample(None, int(trace, 16), "").decision.is_sampled())


def trace_id(traceparent: str) -> str:
    """32 hexadecimal digits; empty when it is no `traceparent`."""
    found = PATTERN.fullmatch(traceparent)
    return found[1] if found else ""


def tell(
    name: str,
    traceparent: str,
    *,
    below: str | None,
    began: float,
    ended: float,
    role: Role = "internal",
    error: str = "",
    **facts: Any,
) -> None:
    """Tell of a span that is over; nothing where nobody collects them. Raises nothing.

    `traceparent` is its own, `below` its parent's; `began` and `ended` in Unix seconds; `facts` are attributes, where
    `__` stands for a dot.
    """
    if _tracer is None:
        return
    with suppress(Exception), _as_given(traceparent):
        from opentelemetry.trace import SpanKind, Status, StatusCode

        span = _tracer.start_span(
            name,
            context=_context(traceparent, below),
            kind=SpanKind[role.upper()],
            attributes={key.replace("__", "."): value for key, value in facts.items() if value is not None},
            start_time=int(began * 1e9),
        )
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end_time=int(ended * 1e9))


def _context(traceparent: str, below: str | None) -> Any:
    """What the span is below; empty for the first one of a trace."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    own, parent = PATTERN.fullmatch(traceparent), PATTERN.fullmatch(below or "")
    if own is None or parent is None or parent[1] != own[1]:
        return Context()
    flags = TraceFlags(int(own[3], 16))
    context = SpanContext(int(parent[1], 16), int(parent[2], 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(context), Context())


@contextmanager
def _as_given(traceparent: str) -> Iterator[None]:
    found = PATTERN.fullmatch(traceparent)
    token = _given.set((int(found[1], 16), int(found[2], 16)) if found else (0, 0))
    try:
        yield
    finally:
        _given.reset(token)
