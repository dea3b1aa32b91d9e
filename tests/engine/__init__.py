"""A light workflow, workers that can be killed, and helpers to drive the job engine."""
