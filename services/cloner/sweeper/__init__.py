"""Removes what jobs and clones left behind: compares what exists with what the log says."""
