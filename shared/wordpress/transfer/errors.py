"""What can go wrong on the target while data arrives.

Permanent
+-- TargetDiskFull
+-- TargetRefused     the target's database does not accept this data
    +-- RowsRefused   it left rows out that were sent
    +-- DuplicateFound  it found a key twice when it committed
    +-- LocalFileAsked  it asked for a file of ours
Temporary
+-- TargetDatabaseDown
+-- IncompleteLoad    the database took fewer rows than were sent
+-- NothingNew        the source's answers bring nothing
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql

from shared.errors import Permanent, Temporary
from shared.wordpress.errors import ImplausibleSite

DISK_FULL_CODES = frozenset({3, 28, 1021, 1114, 1030})
"""MariaDB: error writing file, no space left on device, disk full, table is full, got error 28 from engine."""
LOST_CODES = frozenset({1053, 1927, 2002, 2003, 2006, 2013, 1205, 1213, 1040, 1203})
"""Server gone, connection lost or refused, lock wait, deadlock, too many connections: may work when tried again."""

BULK_REFUSED = 1180
"""InnoDB loads an empty table without looking at its keys (`unique_checks=0`), and says this when it commits."""


class TargetDiskFull(Permanent):
    """The disk of the machine that holds the clones is full."""

    code = "target_disk_full"
    hint = "Delete clones that are no longer needed or give the server more space, then run the job again."


class TargetRefused(Permanent):
    """The clone's database does not accept the site's data."""

    code = "target_database_error"
    hint = "The server's message names the table. Exclude that table with options.exclude_tables and run the job again."


class RowsRefused(TargetRefused):
    """The clone's database left rows out that were sent."""

    hint = (
        "The server's message names the value. Change it on the source, or exclude that table with "
        "options.exclude_tables, and run the job again."
    )


class DuplicateFound(TargetRefused):
    """The clone's database found a key twice, and did not say which."""

    hint = RowsRefused.hint


class LocalFileAsked(TargetRefused):
    """The clone's database asked for a file of this machine, which it was not given."""

    hint = "Nothing was read. This comes from the site's own data; please report it with the job's id."


class TargetDatabaseDown(Temporary):
    """The clone's database server does not answer."""

    code = "target_database_unavailable"
    hint = "Look at the MariaDB log, then retry the job."


class IncompleteLoad(Temporary):
    """The clone's database took fewer rows than were sent."""

    code = "incomplete_load"


class NothingNew(Temporary):
    """The site answers again and again without sending anything new."""

    code = "source_stalled"
    hint = "Look at what the site's firewall or cache does to the connector, then retry the job."


MISFITS = frozenset(
    {
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENOENT,
        errno.ENOTEMPTY,
        errno.ESTALE,
    }
)
"""What a disk says of a path that does not fit the others: a file below a file, a piece of a file that is not there."""


@contextmanager
def site_paths() -> Iterator[None]:
    """Whatever is wrong with a path here came from the site. Raises ImplausibleSite."""
    try:
        yield
    except OSError as error:
        if error.errno in MISFITS:
            raise ImplausibleSite(f"The site sends a path that can not be ({error.strerror}).") from error
        raise


@contextmanager
def target_errors(what: str) -> Iterator[None]:
    """Turn errors of the target's disk and database into typed ones that say what was being done."""
    try:
        yield
    except pymysql.MySQLError as error:
        raise _database_error(error, what) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise TargetDiskFull(f"The disk of the clone server is full ({what}).") from error
        raise


def _database_error(error: pymysql.MySQLError, what: str) -> Permanent | Temporary:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1] if len(error.args) > 1 else error)
    if code in DISK_FULL_CODES and (code != 1030 or " 28" in text):
        return TargetDiskFull(f"The disk of the clone server is full ({what}: {text}).")
    if code in LOST_CODES or (code == 0 and isinstance(error, pymysql.OperationalError | pymysql.InterfaceError)):
        return TargetDatabaseDown(f"The clone's database server went away ({what}: {text or type(error).__name__}).")
    kind = DuplicateFound if code == BULK_REFUSED else TargetRefused
    return kind(f"The clone's database refused {what}: {text}", database_code=code)
