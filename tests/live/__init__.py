"""Helpers for tests of the live side: real servers, a status process, and a player of realistic jobs."""
