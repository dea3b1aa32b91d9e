"""Consumes clone commands; owns clones: makes their place, fills it, proves it, ends it."""
