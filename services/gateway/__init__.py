"""The REST edge: validates, authorises, publishes commands, reads the projection."""
