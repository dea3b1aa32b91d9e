"""A clone's trace, from the call to the connector's requests, as a collector receives it."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.product import product
from tests.sites.fixtures import MakeSite

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@dataclass
class Span:
    """One span as it arrived."""

    service: str
    name: str
    trace: str
    id: str
    below: str
    failed: bool
    began: int
    ended: int
    facts: dict[str, Any] = field(default_factory=dict)


class Collector:
    """Takes OTLP over HTTP, as any collector does."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        for group in request.resource_spans:
            service = {item.key: item.value.string_value for item in group.resource.attributes}["service.name"]
            for scope in group.scope_spans:
                for span in scope.spans:
                    facts = {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}
                    self.spans.append(
                        Span(
                            service,
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.status.code == 2,
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            facts,
                        )
                    )

    @contextmanager
    def listening(self) -> Iterator[Collector]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(10)

    def of(self, trace: str) -> list[Span]:
        return [span for span in self.spans if span.trace == trace]


def test_one_trace_from_the_call_to_the_connector(make_site: MakeSite) -> None:
    site = make_site("traced", content="bare")
    with Collector().listening() as collector:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with product(environment=environment) as siteferry:
            body = {"source_url": site.url, "username": site.username, "password": site.password}
            answer = siteferry.http.post("/clone", json=body, headers={"traceparent": CALLER})
            job_id = answer.json()["job_id"]
            assert siteferry.wait(job_id)["status"] == "completed"
            wrong = siteferry.submit(site, password="wrong")
            assert siteferry.wait(wrong)["status"] == "failed"
            refused = [span for span in _until(collector, wrong) if span.name == "clone job"]
        spans = collector.of(CALLER.split("-")[1])
    (call,) = [span for span in spans if span.name == "POST /clone"]
    assert (call.service, call.below) == ("siteferry-gateway", CALLER.split("-")[2])
    assert call.facts["http.response.status_code"] == 202
    (job,) = [span for span in spans if span.name == "clone job"]
    assert (job.service, job.below, job.failed) == ("siteferry-cloner", call.id, False)
    assert (job.facts["siteferry.job"], job.facts["siteferry.outcome"]) == (job_id, "completed")
    steps = {span.name: span for span in spans if span.name.startswith("step ")}
    assert {"step sign_in", "step files", "step database", "step verify"} <= set(steps)
    assert {span.below for span in steps.values()} == {job.id}
    requests = [span for span in spans if span.name.startswith("connector ")]
    assert {"connector hello", "connector inspect", "connector files.stream", "connector db.stream"} <= {
        span.name for span in requests
    }
    assert {span.below for span in requests} <= {span.id for span in steps.values()}
    assert all(job.began <= span.began <= span.ended <= job.ended for span in requests)
    assert site.password not in repr(collector.spans)
    assert [span.failed for span in refused] == [True]


def _until(collector: Collector, job_id: str) -> list[Span]:
    """The spans of a job's trace once its attempt has arrived."""
    deadline = time.monotonic() + 30
    while True:
        for span in list(collector.spans):
            if span.facts.get("siteferry.job") == job_id and span.name == "clone job":
                return collector.of(span.trace)
        assert time.monotonic() < deadline, "no span arrives"
        time.sleep(0.1)


def test_a_collector_that_is_away_costs_no_job(make_site: MakeSite) -> None:
    site = make_site("traced-away", content="bare")
    with product(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}) as siteferry:
        siteferry.clone(site)
