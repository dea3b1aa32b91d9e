"""Sites made to attack whoever clones them: what they send, and what must come of it."""
