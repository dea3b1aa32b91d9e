"""Consumes restore commands: brings a clone's content to production, and back."""
