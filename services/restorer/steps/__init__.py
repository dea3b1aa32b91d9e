"""The steps of restore, rollback and discard."""
