"""States of this machine's clones, in snapshots."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from services.cloner.constants import OWN_ADDRESS
from services.cloner.drivers.cell import CONFIG, SITE
from services.cloner.drivers.host.removal import remove_tree
from services.cloner.drivers.host.snapshots import (
    Manifest,
    NoSuchSnapshot,
    SnapshotDamaged,
    SnapshotRefused,
    put_in_place,
    settle,
)
from services.cloner.drivers.host.snapshots.place import make_folders, staged
from services.cloner.drivers.port import KeptState, SiteConfig
from services.cloner.errors import CloneGone
from shared.contract.states import MADE

if TYPE_CHECKING:
    from services.cloner.drivers.host.driver import HostDriver, HostTarget


ORIGIN = "origin"
"""What a fork is made of, until it is made."""
RENEWAL = "renewal"
"""What a refreshed clone is to become, until it has."""
RENEWED = ".renewed"
"""In a clone's directory: which place it was exchanged for last, from the moment that only goes forwards."""


class HostStates:
    """Keeps, lists, puts back. One deed at a time for each clone, over all processes."""

    def __init__(self, driver: HostDriver) -> None:
        self._driver = driver
        self._snapshots = driver.snapshots

    def keep(
        self, clone_id: str, name: str, *, facts: Mapping[str, Any], check: Callable[[], None], durable: bool
    ) -> KeptState:
        """Store what the clone is now; a state that is there already stays, and is told."""
        with self._snapshots.alone(clone_id, check, busy=True):
            target = self._there(clone_id)
            settle(target)
            manifest = self._snapshots.capture(target, clone_id, name, facts=facts, check=check, durable=durable)
        return _told(name, manifest)

    def put_back(self, clone_id: str, name: str, *, check: Callable[[], None]) -> tuple[KeptState, list[str]]:
        """Exchange what the clone holds for a state; and what of it could not be made, in words."""
        with self._snapshots.alone(clone_id, check, busy=True):
            target = self._there(clone_id)
            manifest = self._snapshots.stage(clone_id, name, target, check=check, renamed=True)
            check()
            return _told(name, manifest), put_in_place(target)

    def fork(self, clone_id: str, fork_id: str, *, check: Callable[[], None]) -> tuple[KeptState, SiteConfig]:
        """Fill a new clone's place with what a clone is now; with which configuration it is to be finished."""
        with self._snapshots.alone(clone_id, check, busy=True):
            source = self._there(clone_id)
            settle(source)
            try:
                config = SiteConfig(**json.loads((source.directory / SITE).read_text()))
            except FileNotFoundError as error:
                raise SnapshotRefused(
                    "The clone was made by a version of Siteferry that kept too little of it."
                ) from error
            self._snapshots.capture(source, fork_id, ORIGIN, check=check)
        with self._snapshots.alone(fork_id, check, busy=True):
            target = self._driver.place(fork_id)
            manifest = self._snapshots.stage(fork_id, ORIGIN, target, check=check, renamed=True)
            put_in_place(target)
            self._snapshots.remove(fork_id, ORIGIN)
        return _told(ORIGIN, manifest), config

    def to_read(self, clone_id: str) -> HostTarget:
        """A clone that is there, with an empty folder for its records."""
        target = self._there(clone_id)
        remove_tree(target.records)
        make_folders(target, [target.records.name])
        return target

    def renew(self, clone_id: str, beside: str, *, keep: bool, check: Callable[[], None]) -> list[str]:
        """Exchange what a clone holds for what was made in the place `beside`."""
        left: list[str] = []
        with self._snapshots.alone(clone_id, check, busy=True):
            target = self._there(clone_id)
            if not self._went_on(target, beside):
                self._forget_renewal(clone_id, of_others_than=beside)
                self._snapshots.capture(self._driver.place(beside), clone_id, RENEWAL, check=check)
                self._snapshots.stage(clone_id, RENEWAL, target, check=check, renamed=True)
                check()
                (target.directory / RENEWED).write_text(beside)
                left = put_in_place(target)
            self._complete(target, beside, keep=keep)
        return left

    def renewed(self, clone_id: str, beside: str, *, keep: bool) -> bool:
        """End what a death left half done, forwards if it had begun; whether the clone is what was made `beside`."""
        with self._snapshots.alone(clone_id, busy=True):
            target = self._driver.place(clone_id)
            if not (target.directory / CONFIG).exists():
                return False
            if not self._went_on(target, beside):
                self._forget_renewal(clone_id)
                return False
            self._complete(target, beside, keep=keep)
        return True

    def _went_on(self, target: HostTarget, beside: str) -> bool:
        """End what a death left half done; whether that was, or has been, the exchange for what was made `beside`."""
        mark, coming = target.directory / RENEWED, staged(target)
        if coming is not None and coming.clone_id == beside:
            mark.write_text(beside)
        settle(target)
        return mark.exists() and mark.read_text() == beside

    def _complete(self, target: HostTarget, beside: str, *, keep: bool) -> None:
        """Once files and tables are exchanged: the configuration, and what a reset puts back."""
        told = json.loads((self._driver.place(beside).directory / SITE).read_text())
        told["constants"] = {name: value for name, value in told["constants"].items() if name not in OWN_ADDRESS}
        self._driver.cells.forget(target.clone_id)
        target.write_config(SiteConfig(**told))
        if RENEWAL in self._snapshots.names(target.clone_id):
            self._snapshots.remove(target.clone_id, MADE)
            if keep:
                self._snapshots.rename(target.clone_id, RENEWAL, MADE)
            else:
                self._snapshots.remove(target.clone_id, RENEWAL)

    def _forget_renewal(self, clone_id: str, of_others_than: str = "") -> None:
        try:
            if self._snapshots.get(clone_id, RENEWAL).clone_id == of_others_than:
                return
        except (NoSuchSnapshot, SnapshotDamaged):
            pass
        self._snapshots.remove(clone_id, RENEWAL)

    def settle(self, clone_id: str) -> None:
        """End what a death left half done, forwards if it had begun."""
        with self._snapshots.alone(clone_id, busy=True):
            target = self._driver.place(clone_id)
            if (target.directory / CONFIG).exists():
                settle(target)

    def kept(self, clone_id: str) -> list[KeptState]:
        """The states of a clone; damaged ones are told without numbers."""
        found = []
        for name in self._snapshots.names(clone_id):
            with suppress(NoSuchSnapshot):
                try:
                    found.append(_told(name, self._snapshots.get(clone_id, name)))
                except SnapshotDamaged:
                    found.append(KeptState(name, ""))
        return found

    def drop(self, clone_id: str, name: str) -> None:
        """Remove a state; nothing happens when it is not there."""
        self._snapshots.remove(clone_id, name)

    def sweep(self, *, dry_run: bool) -> list[str]:
        """Remove what deaths left of snapshots half made, and of those half removed."""
        return self._snapshots.sweep(dry_run=dry_run)

    def _there(self, clone_id: str) -> HostTarget:
        target = self._driver.place(clone_id)
        if not (target.directory / CONFIG).exists():
            raise CloneGone
        return target


def _told(name: str, manifest: Manifest) -> KeptState:
    return KeptState(name, manifest.made_at, manifest.files, manifest.bytes, len(manifest.tables))
