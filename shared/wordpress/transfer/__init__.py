"""From a connector's frames to files on disk and rows in a database, rewriting on the way. Synchronous, for threads."""
