"""Where clones live: one port, one package per driver."""
