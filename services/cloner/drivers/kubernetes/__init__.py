"""Clones in a cluster: a Pod for each, which owns everything else of it (ADR 65). `driver` is imported where it is
chosen, `target` in its carriers: only the first needs the cluster's API."""
