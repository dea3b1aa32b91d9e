"""What runs in a clone's Pod: its database, its web server with PHP, and the agent that fills it (ADR 65)."""
