"""What two or more services must agree on, on the wire or in behaviour. Nothing else lives here."""
