"""Schedules: the wish for a clone, again and again. The server's own schedules fire, the gateways make the jobs."""
