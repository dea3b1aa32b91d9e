"""NATS as the services use it: the connection, pulling, atomic batches, and what is kept in its stores."""
