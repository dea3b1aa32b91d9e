"""The named, idempotent steps of a clone, in the order they run."""
