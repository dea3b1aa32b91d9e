"""Where drivers' clones are, as tests look at them from outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from services.cloner.drivers.host import HostDriver
from services.cloner.drivers.host.mariadb import CloneDatabases
from services.cloner.drivers.port import Provisioner, SiteConfig
from shared.cells.client import CellsClient
from shared.cells.names import database_name
from shared.cells.pod_layout import SITE_ACCOUNT
from siteferry.embedded.servers import Cells, MariaDB, running
from tests.integration.house import place

if TYPE_CHECKING:
    from tests.kubernetes.house import ClusterHouse

CONFIG = SiteConfig(
    prefix="wp_",
    charset="utf8mb4",
    collate="",
    constants={"WP_POST_REVISIONS": 3, "WPLANG": "it's \\ here"},
    wordpress_path="",
    content_path=None,
    source_host="shop.example",
    quarantined_plugins=("sg-cachepress/sg-cachepress.php",),
)


class House(Protocol):
    """One driver, and what is behind it."""

    @property
    def driver(self) -> Provisioner: ...

    def inside(self, clone_id: str) -> Path:
        """The clone's directory, as root sees it."""

    def account(self, clone_id: str) -> int:
        """Who owns what the clone's PHP writes."""

    def left(self, clone_id: str) -> list[Any]:
        """Whatever exists of it."""

    def few(self, most: int) -> Any:
        """While it is entered: a driver with no more places than that."""


class HostHouse:
    """One machine."""

    def __init__(self, driver: HostDriver) -> None:
        self.driver = driver

    @classmethod
    @contextmanager
    def running(cls, where: Path | None = None) -> Iterator[HostHouse]:
        """`where`: a directory on another file system than that of temporary files."""
        with nullcontext(where) if where else place() as directory, running(MariaDB(directory / "mariadb")) as mariadb:
            databases = CloneDatabases(mariadb.socket, mariadb.admin_user, mariadb.admin_password_file)
            clones = directory / "clones"
            clones.mkdir(mode=0o711)
            with running(Cells(directory / "cells", clones, mariadb_socket=str(mariadb.socket))) as cells:
                client = CellsClient(cells.control)
                url = "http://localhost:8080"
                yield cls(HostDriver(clones=clones, databases=databases, edge_url=url, cells=client))

    def inside(self, clone_id: str) -> Path:
        return self.driver.place(clone_id).directory

    def account(self, clone_id: str) -> int:
        owner = self.driver.place(clone_id).owner
        return owner.uid if owner else os.geteuid()

    def left(self, clone_id: str) -> list[Any]:
        directory = self.driver.place(clone_id).directory
        names = [name for name in self.driver.databases.names() if name == database_name(clone_id)]
        return [*names, *([directory] if directory.exists() else [])]

    @contextmanager
    def few(self, most: int) -> Iterator[HostDriver]:
        yield replace(self.driver, most=most)


class PodHouse:
    """A cluster."""

    def __init__(self, cluster: ClusterHouse) -> None:
        self._cluster = cluster
        self.driver = cluster.driver()

    @classmethod
    @contextmanager
    def running(cls, cluster: ClusterHouse) -> Iterator[PodHouse]:
        made = cls(cluster)
        try:
            yield made
        finally:
            made.driver.close()

    def inside(self, clone_id: str) -> Path:
        return self._cluster.inside(clone_id)

    def account(self, clone_id: str) -> int:
        return SITE_ACCOUNT

    def left(self, clone_id: str) -> list[Any]:
        return self._cluster.objects(clone_id)

    @contextmanager
    def few(self, most: int) -> Iterator[Provisioner]:
        with self._cluster.quota(most):
            yield self.driver
