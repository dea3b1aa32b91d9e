"""A clone's Pod as a `Target`. Carriers load this, and so nothing of the cluster's API."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pymysql.connections import Connection

from services.cloner.drivers.cell import LOGIN_KEY, CellTarget, login_key_file
from services.cloner.drivers.database import connection
from services.cloner.drivers.kubernetes.agent import PodAgent, PodSink, context
from services.cloner.drivers.kubernetes.credentials import NONE, Credentials
from services.cloner.drivers.kubernetes.errors import PodAway
from shared.cells.php_log import last_error_in
from shared.cells.pod_layout import DATABASE_PORT, DATABASE_SOCKET
from shared.engine.carriers.pool import spare_account
from shared.wordpress.transfer.changed_files import ChangedFiles
from shared.wordpress.transfer.digests import FileDigests
from shared.wordpress.transfer.files import Arrangement, Owner, Received, Sink


class Pods(Protocol):
    """The cluster, as far as a target asks it."""

    def address_of(self, clone_id: str) -> str:
        """Where the clone's Pod is. Raises CloneGone, OwnPartAway."""

    def serve(self, clone_id: str) -> None:
        """Have the clone's address lead to it."""


@dataclass
class PodTarget(CellTarget):
    """One clone's Pod."""

    clone_id: str
    url: str
    directory: Path
    """Where the Pod has it."""
    records: Path
    credentials: Credentials
    address: str = ""
    """Of the Pod; "" where the cluster can be asked."""
    cluster: Pods | None = None
    wordpress_path: str = ""

    def __getstate__(self) -> dict[str, Any]:
        """What a carrier gets: no way to the cluster, and secrets of the Pod only when it is to fill it (`carried`)."""
        return {**vars(self), "cluster": None, "credentials": self.credentials if self.address else NONE}

    @property
    def owner(self) -> Owner | None:
        """Of the records here; None when we are not root."""
        account = spare_account(self.clone_id) if os.geteuid() == 0 else None
        return None if account is None else Owner(account.uid, account.gid)

    @property
    def writable(self) -> tuple[Path, ...]:
        """Only the notes are on this machine."""
        return (self.records,)

    @property
    def readable(self) -> tuple[Path, ...]:
        """Nothing."""
        return ()

    @property
    def database_socket(self) -> Path:
        """Of the database beside the site's PHP."""
        return DATABASE_SOCKET

    def carried(self) -> PodTarget:
        """The same with the Pod's address, and without the cluster. Raises CloneGone, OwnPartAway."""
        self.records.mkdir(mode=0o700, parents=True, exist_ok=True)
        if owner := self.owner:
            os.chown(self.records, owner.uid, owner.gid)
        return replace(self, address=self._address(), cluster=None)

    def sink(self, arrangement: Arrangement, received: Received, digests: FileDigests | None = None) -> Sink:
        """Sends the site's files to the agent."""
        return PodSink(self._agent(), arrangement, received, digests)

    def changing(self, arrangement: Arrangement, received: Received, digests: FileDigests) -> ChangedFiles:
        """Clones in Pods are always copied whole. Raises NotImplementedError."""
        raise NotImplementedError

    def stylesheets(self, uploads: bytes) -> Iterator[tuple[bytes, bytes]]:
        """CSS below the uploads, as the agent finds it."""
        return self._agent().stylesheets(uploads)

    def php_error(self) -> str:
        """The last error PHP stopped at; "" also when the Pod does not say."""
        try:
            return last_error_in(self._agent().log(), str(self.document_root))
        except PodAway:
            return ""

    def connect(self) -> Connection[Any]:
        """A connection to the clone's own server, by TLS with its own certificate."""
        trusted: ssl.SSLContext = context(self.credentials.certificate)
        return connection(
            self.database, self.credentials.password, host=self._address(), port=DATABASE_PORT, ssl=trusted
        )

    def _write(self, name: str, text: str) -> None:
        self._agent().write(name, text)

    def _call(self, call: str, values: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        return self._agent().call(call, values, seconds=seconds)

    def _serve(self) -> None:
        assert self.cluster is not None
        self.cluster.serve(self.clone_id)

    def _password(self) -> str:
        return self.credentials.password

    def _login_key(self) -> str:
        self._write(LOGIN_KEY, login_key_file(self.credentials.login_key))
        return self.credentials.login_key

    def _agent(self) -> PodAgent:
        return PodAgent(self._address(), self.credentials)

    def _address(self) -> str:
        if self.address:
            return self.address
        assert self.cluster is not None
        return self.cluster.address_of(self.clone_id)
