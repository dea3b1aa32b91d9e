"""Live push: one upstream reader per process, fan-out in memory, WebSocket and SSE."""
