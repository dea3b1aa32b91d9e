"""What is decided about a restore: pure functions of what the two sites and the clone's base said."""
