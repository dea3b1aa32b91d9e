"""The embedded driver: one MariaDB with a database and a user per clone, one PHP-FPM, one directory per clone."""

from services.cloner.drivers.host.driver import HostDriver

__all__ = ["HostDriver"]
