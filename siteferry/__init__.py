"""The front door: the command line and the single-machine launcher."""

__version__ = "0.1.0"
