"""Whether there is a trace, and what is below what."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from shared import tracing

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "clones"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
    ],
)
def test_spans_are_made_where_somebody_collects_them(environment: dict[str, str], expected: bool) -> None:
    assert tracing.wanted(environment) is expected


def test_a_callers_trace_is_continued_with_a_span_of_our_own() -> None:
    ours = tracing.continued(CALLER)
    assert tracing.trace_id(ours) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert ours.split("-")[2] != CALLER.split("-")[2]
    assert tracing.continued(CALLER[:-2] + "00").endswith("-00"), "who does not want it recorded is heard"


@pytest.mark.parametrize(
    "nonsense",
    [None, "", "00-0-0-01", CALLER.upper(), CALLER + "\n", f"00-{'0' * 32}-00f067aa0ba902b7-01", "ff" + CALLER[2:]],
)
def test_nonsense_begins_a_trace_of_our_own(nonsense: str | None) -> None:
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", tracing.continued(nonsense))


def test_the_sdk_is_not_loaded_where_nobody_collects() -> None:
    code = (
        "import sys; from shared import tracing; import services.gateway.app, services.cloner.app\n"
        "tracing.configure('cloner'); tracing.tell('x', tracing.continued(None), below=None, began=0, ended=1)\n"
        "late = ('opentelemetry.sdk', 'opentelemetry.exporter', 'google.protobuf')\n"
        "print([name for name in sys.modules if name.startswith(late)])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": "/bin"}
    )
    assert said.stdout.strip() == "[]"


def test_another_protocol_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ValueError, match="OTLP over HTTP"):
        tracing.configure("cloner")
