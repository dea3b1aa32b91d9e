"""Writing to a site through its connector: digests, staging, the swap, and the way back.

    writer = SiteWriter(ConnectorClient(...), "clone-0123…", limits=facts["limits"])
    writer.begin([StagedTable(0, "wp_posts", ("ID",))])
    writer.copy(0)
    writer.apply(0, columns, ("ID",), upserts=lines, deletes=keys)
    writer.put_files(puts)
    writer.swap(SwapPlan([SwapTable(0, "wp_posts")], files))

Synchronous, for worker threads. Every call may be repeated: after a Temporary error call the same method again with the
same arguments. Nothing that visitors see changes before `swap`; `swap` and `rollback` are journalled on the target, so
that whatever dies in the middle, the target is entirely old or entirely new after its next request.

Raises what `ConnectorClient.call` raises, and the errors of `shared.wordpress.connector.errors` that begin with Target.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from shared.wordpress.connector import answers, reading
from shared.wordpress.connector.client import ConnectorClient
from shared.wordpress.connector.errors import ConnectorGone
from shared.wordpress.connector.package import PLUGIN_DIR
from shared.wordpress.connector.packing import chunk_size
from shared.wordpress.connector.protocol import TruncatedResponse
from shared.wordpress.connector.staging import Chunks, FileSender, RowSender
from shared.wordpress.connector.target import (
    Applied,
    Begun,
    FileDigest,
    FileEvent,
    FileName,
    FilePut,
    Health,
    LateRows,
    LinkDigest,
    OptionsKept,
    RolledBack,
    SnapshotFound,
    StagedTable,
    Swapped,
    SwapPhase,
    SwapPlan,
    SwapState,
    TableRead,
)
from shared.wordpress.errors import HostChallenge, SourceUnreachable

BUDGET: Final = 10.0
"""Seconds one answer may take on the site; longer work is cut into several requests."""


class SiteWriter:
    """Drives one restore on one site.

    `limits` is what `inspect` says (`post_max_size` bounds what a request holds; `begin` learns it too). `rescue` is
    the address of the connector's rescue.php (`rescue_url`), asked when WordPress itself does not answer; `inspect`
    learns it.
    """

    def __init__(
        self,
        client: ConnectorClient,
        restore_id: str,
        *,
        limits: dict[str, Any] | None = None,
        rescue: str | None = None,
        budget: float = BUDGET,
    ) -> None:
        self.client = client
        self.restore_id = restore_id
        self.rescue = rescue
        self.budget = budget
        self._chunks = Chunks(chunk_size(int((limits or {}).get("post_max_size", 0))))

    # Reading, on either side

    def inspect(self) -> dict[str, Any]:
        """`inspect {target: true}`: the facts of the site, plus what only a restore asks.

        foreign_keys [table], triggers_on [table], users [[id, login]] (at most 10,000; the key `users_cut` is true when
        there are more), writable_bases {base: bool}, privileges {create, alter, drop: bool} (tried on an empty
        table), database.max_allowed_packet. Also remembers the limits for this writer.
        """
        facts = self.client.call("inspect", {"target": True})
        packet = int(facts["database"]["max_allowed_packet"])
        self._chunks.size = chunk_size(int(facts["limits"]["post_max_size"]), packet)
        self.rescue = rescue_url(facts["urls"]["plugins"])
        return facts

    def digest_rows(self, tables: Sequence[TableRead]) -> Iterator[tuple[str, bytes]]:
        """`db.stream {digest: true}`: (table, block of whole lines); `split_digest` takes a line apart.

        A line is `<key as TSV>\\t<md5 of the row's text>\\n`, or the md5 alone without a key. A table that is gone
        gives nothing. An answer that breaks off is resumed here.
        """
        params = {"tables": [table.params() for table in tables], "digest": True, "budget": self.budget}
        return reading.row_blocks(self.client, "db.stream", params)

    def fetch_rows(self, table: TableRead, keys: Iterable[bytes]) -> Iterator[bytes]:
        """`db.fetch`: the rows with these keys (TSV lines of the key columns), each as one line without its newline.

        Rows that are gone are left out; the order is not defined. Asks in batches of at most 5,000 keys.
        """
        return reading.rows_by_key(self.client, table, keys, self.budget)

    def digest_files(
        self, bases: Sequence[str], skip: Sequence[dict[str, str]] = ()
    ) -> Iterator[FileDigest | LinkDigest]:
        """`files.digest`: every file of these bases, in the walk's order; `skip` as for `files.stream`.

        Neither the connector nor what restores keep on the site is ever listed.
        """
        return reading.file_digests(self.client, bases, skip, self.budget)

    def fetch_files(self, names: Iterable[FileName]) -> Iterator[FileEvent]:
        """`files.fetch`: the bytes of these files, one after the other, in the order asked."""
        return reading.file_events(self.client, names, self.budget)

    def health(self, since: float = 0.0) -> Health:
        """`health`: fatal errors of PHP since then (Unix seconds), active plugins and theme, paused extensions."""
        said = self._call("health", {"since": since})
        return Health(
            tuple(said["php_errors"]),
            bool(said["log_readable"]),
            tuple(said["active_plugins"]),
            str(said["theme"]),
            tuple(said["paused"]),
        )

    # Staging: beside the live tables and files

    def begin(self, tables: Sequence[StagedTable]) -> Begun:
        """`stage.begin`: make the restore's directory and write down its tables; the same call again is harmless."""
        said = self._call("stage.begin", {"tables": [table.params() for table in tables]})
        self._chunks.size = chunk_size(int(said["post_max_size"]), int(said["max_allowed_packet"]))
        return Begun(
            SwapPhase(said["state"]),
            f"siteferry-{said['dir_token']}",
            said["free_bytes"],
            dict(said["same_filesystem"]),
            {int(n): str(name) for n, name in said["staged"]},
        )

    def reserve_ids(self, above: dict[str, int]) -> None:
        """`stage.reserve`: from now on live tables give new rows ids above these (table -> highest id of the clone).

        Keeps rows that visitors add during the restore from colliding with the rows that come.
        """
        self._call("stage.reserve", {"above": dict(above)})

    def copy(self, n: int) -> int:
        """`stage.copy`: make staged table `n` anew and fill it; the number of rows in it. Starts from the beginning."""
        cursor: dict[str, Any] | None = None
        while True:
            said = self._call("stage.copy", {"n": n, "cursor": cursor, "budget": self.budget})
            if said["done"]:
                return int(said["rows"])
            cursor = said["cursor"]

    def apply(
        self,
        n: int,
        columns: Sequence[dict[str, Any]],
        key: Sequence[str],
        *,
        upserts: Iterable[bytes] = (),
        deletes: Iterable[bytes] = (),
    ) -> Applied:
        """`stage.apply`: deletes (key lines) first, then rows (lines of `columns`), in batches of one transaction each.

        Rows larger than a request travel in pieces. Raises RowRefused naming table and key when the server would cut or
        refuse a value.
        """
        sender = RowSender(self._call, self._chunks, n, columns, key)
        sender.delete(deletes)
        sender.write(upserts)
        return sender.applied()

    def replace_all(self, n: int, columns: Sequence[dict[str, Any]], rows: Iterable[bytes]) -> Applied:
        """`stage.apply {first: true}`: empty staged table `n` and fill it with these rows (tables without a key)."""
        sender = RowSender(self._call, self._chunks, n, columns, ())
        sender.write(rows, first=True)
        return sender.applied()

    def put_files(self, files: Iterable[FilePut]) -> int:
        """`stage.files`: lay the files out in the staging directory, small ones many to a request; the bytes sent.

        A file that is staged already with the same md5 is not sent again. New files get the mode of the file they will
        replace, else of their neighbours.
        """
        return FileSender(self._call, self._chunks).send(files)

    def keep_options(self, options: OptionsKept) -> int:
        """`stage.sql {kind: options_keep}`: the live values of these options into the staged table; how many."""
        return int(self._call("stage.sql", {"kind": "options_keep", **options.params()})["kept"])

    def staged_name(self, n: int) -> str:
        """The name of staged table `n`, for reading it with `digest_rows`."""
        return f"sfn_{hashlib.sha1(self.restore_id.encode(), usedforsecurity=False).hexdigest()[:8]}_{n}"

    def drop(self, *, snapshot: bool) -> None:
        """`stage.drop`: remove what is staged; with `snapshot` also the old tables and files, for good."""
        self._call("stage.drop", {"snapshot": snapshot})

    # The exchange

    def swap(self, plan: SwapPlan) -> Swapped:
        """`swap`: exchange files, then all tables in one RENAME. Late rows of the old tables are carried over at once.

        When the connection is lost the outcome is asked (`state`); a second call of a finished swap answers the same.
        Raises TargetBusy (nothing changed) when a table could not be locked in time.
        """
        try:
            return answers.swapped(self._vital("swap", plan.params()))
        except (SourceUnreachable, TruncatedResponse) as error:
            found = self.state()
            if found.state != SwapPhase.SWAPPED or found.swapped is None:
                raise error
            return found.swapped

    def late(self) -> LateRows:
        """`swap.late`: rows that came into the old tables between copy and exchange, into the live ones."""
        return answers.late(self._call("swap.late", {}))

    def rollback(self) -> RolledBack:
        """`swap.rollback`: old files and tables come back, byte for byte; rows added since the swap are kept."""
        return answers.rolled_back(self._vital("swap.rollback", {}))

    def state(self) -> SwapState:
        """`swap.state`: where this restore stands; replays an unfinished journal first. Also answered by rescue.php."""
        return answers.state(self._vital("swap.state", {}))

    def snapshots(self) -> list[SnapshotFound]:
        """`snapshots`: every restore that left something on this site."""
        return [answers.snapshot(found) for found in self._call("snapshots", {})["snapshots"]]

    def _call(self, op: str, params: dict[str, Any]) -> dict[str, Any]:
        return self.client.call(op, {"restore": self.restore_id, **params})

    def _vital(self, op: str, params: dict[str, Any]) -> dict[str, Any]:
        """What has to work on a broken site too: rescue.php answers when WordPress with its plugins does not."""
        request = {"restore": self.restore_id, **params}
        try:
            return self.client.call(op, request, tries=2)
        except (SourceUnreachable, TruncatedResponse, ConnectorGone, HostChallenge) as error:
            if self.rescue is None:
                raise
            try:
                return self.client.elsewhere(self.rescue).call(op, request, tries=2)
            except (SourceUnreachable, TruncatedResponse, ConnectorGone, HostChallenge):
                raise error from None


def rescue_url(plugins_url: str) -> str:
    """Where the connector answers without plugins and theme; `plugins_url` is `urls.plugins` of `inspect`."""
    return f"{plugins_url.rstrip('/')}/{PLUGIN_DIR}/rescue.php"


def split_digest(line: bytes) -> tuple[bytes, bytes]:
    """Key and md5 of a line of `digest_rows`, without its newline; the key is empty for a table without one."""
    key, _, digest = line.rpartition(b"\t")
    return key, digest
