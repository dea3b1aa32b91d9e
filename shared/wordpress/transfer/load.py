"""One LOAD DATA statement fed through a pipe, so that nothing waits in memory or on disk.

The server asks the client for the file by name. Here the client sends what comes out of its own pipe and nothing else:
whatever the server asks for under another name is refused, and no file is opened for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
from collections import Counter
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CLIENT, COMMAND
from pymysql.protocol import LoadLocalPacketWrapper, OKPacketWrapper

from shared.wordpress.transfer.errors import IncompleteLoad, LocalFileAsked, RowsRefused, target_errors

CLIENT_FLAG = CLIENT.LOCAL_FILES
"""What a connection needs for `PipeLoad`: the protocol's capability, without PyMySQL's own answering (which opens the
file the server names). To be given to `pymysql.connect(client_flag=…, local_infile=False)`."""
PIPE_NAME = "siteferry-rows"
PIPE_BYTES = 1024 * 1024
PACKET_BYTES = 256 * 1024
F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ, Linux
WARNINGS = 1000
"""Warnings read after one statement; the server keeps as many (`max_error_count`)."""
CHANGES = frozenset({1261, 1262, 1264, 1265, 1292, 1366})
"""Warnings for a value that was stored otherwise. Any other may stand for a row that a LOAD DATA LOCAL has left out: a
duplicate key, NULL, a foreign key, a check, a value that no partition is for."""
_PLACE = re.compile(r" at row \d+$")
_COLUMN = re.compile(r"column (?:`[^`]*`\.`[^`]*`\.)?[`'](.*?)[`'](?= at row|$)")


class PipeLoad:
    """A running statement. `warnings` is complete after `finish`: text of the server -> how often."""

    def __init__(self, connection: Connection[Any], table: str, statement: str) -> None:
        """`statement` loads from the file named PIPE_NAME."""
        self._connection = connection
        self.table = table
        self._statement = statement
        self._expected = 0
        self._error: BaseException | None = None
        self._loaded = 0
        self._refused = ""
        self.warnings: Counter[str] = Counter()
        self._read_end, self._write_end = os.pipe()
        with contextlib.suppress(OSError):  # over the user's pipe limit: the default size works, slower
            fcntl.fcntl(self._write_end, F_SETPIPE_SZ, PIPE_BYTES)
        self._thread = threading.Thread(target=self._run, name=f"load-{table}", daemon=True)
        self._thread.start()

    def write(self, rows: bytes, count: int) -> None:
        """More rows, whole ones. Raises as `finish` when the statement has ended before."""
        self._expected += count
        view = memoryview(rows)
        try:
            while view:
                view = view[os.write(self._write_end, view) :]
        except BrokenPipeError:
            self.finish()

    def finish(self) -> None:
        """Wait for the server to have taken every row. Raises the errors of the target, RowsRefused, IncompleteLoad."""
        self._close_write()
        self._thread.join()
        if self._error is not None:
            with target_errors(f"loading table {self.table}"):
                raise self._error
        if self._loaded != self._expected:
            text = f"The clone's database took {self._loaded} of {self._expected} rows of {self.table}"
            if self._refused:
                raise RowsRefused(f"{text}: {self._refused}", table=self.table)
            raise IncompleteLoad(f"{text}.")

    def abort(self) -> None:
        """End the statement, whatever it is doing; its connection is of no use any more."""
        # The server would commit nothing of a statement whose connection is gone; closing the socket first makes
        # sure it never sees the early end of the pipe as the end of the data.
        with contextlib.suppress(Exception):
            self._connection._force_close()  # type: ignore[attr-defined]
        self._close_write()
        self._thread.join(timeout=30)

    def _close_write(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1

    def _run(self) -> None:
        try:
            done = self._load()
            self._loaded = done.affected_rows
            if done.warning_count:
                self._read_warnings()
        except BaseException as error:
            self._error = error
        finally:
            os.close(self._read_end)

    def _load(self) -> Any:
        connection: Any = self._connection
        connection._execute_command(COMMAND.COM_QUERY, self._statement.encode("utf-8", "surrogateescape"))
        asked = connection._read_packet()
        if not asked.is_load_local_packet():
            raise pymysql.OperationalError(2014, "the server did not ask for the rows")
        if LoadLocalPacketWrapper(asked).filename != PIPE_NAME.encode():
            connection._force_close()
            raise LocalFileAsked
        while chunk := os.read(self._read_end, PACKET_BYTES):
            connection.write_packet(chunk)
        connection.write_packet(b"")
        return OKPacketWrapper(connection._read_packet())

    def _read_warnings(self) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(f"SHOW WARNINGS LIMIT {WARNINGS}")
            for _, code, text in cursor.fetchall():
                told = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else str(text)
                self.warnings[_PLACE.sub("", told)] += 1
                if int(code) not in CHANGES and not self._refused:
                    self._refused = told


def column_of(warning: str) -> str | None:
    """The column a warning of the server names."""
    found = _COLUMN.search(warning)
    return found[1] if found else None
