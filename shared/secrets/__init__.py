"""Who may do what, and what must not be read: API keys, tickets and sessions, the vault."""
