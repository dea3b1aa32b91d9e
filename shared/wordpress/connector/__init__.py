"""The Siteferry connector: its protocol, a client, its archive, and what stays behind on the source."""
