"""The Siteferry connector: the protocol it speaks, a client for it, its archive, and what stays behind on the source."""
