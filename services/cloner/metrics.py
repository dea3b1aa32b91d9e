"""What Prometheus sees of the cloner beside its jobs."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

SWEPT = Counter("siteferry_sweep_findings_total", "Things left behind that a sweep found", ["what", "outcome"])
LEFT = Gauge("siteferry_sweep_unresolved", "Findings of the last sweep that are still there: unknown or not removable")
SECONDS = Gauge("siteferry_sweep_seconds", "How long the last sweep took")
SWEPT_AT = Gauge("siteferry_sweep_finished_timestamp_seconds", "When the last sweep ended")
FREE = Gauge("siteferry_clones_free_bytes", "Bytes free on the disk of the clones")
UNREADABLE = Counter("siteferry_expiries_unreadable_total", "Ends of clones nobody could read, passed over")
