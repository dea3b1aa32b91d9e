"""The carriers of a worker: those of its jobs, and those that look at a site once."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from shared import turns
from shared.contract.jobs import Note
from shared.engine.carriers.carrier import Carrier, Keeper, Recipe
from shared.engine.carriers.confine import Account, Confinement
from shared.engine.carriers.errors import CarrierStalled
from shared.engine.carriers.forks import ForkServer
from shared.engine.carriers.shelf import Shelf
from shared.engine.carriers.surface import Unit
from shared.engine.carriers.watch import Deadlines
from shared.engine.token import StopToken

Maker = Callable[[], Awaitable[Recipe]]
SPARE_FROM, SPARES = 0x70000000, 1 << 20
"""Accounts of nobody's, outside of what systems give away, for carriers that write no files of a clone."""
NOBODY = 65534


@dataclass(frozen=True)
class CarrierSettings:
    """Limits of every carrier. Times in seconds, memory in bytes."""

    memory: int = 1 << 30
    deadlines: Deadlines = field(default_factory=Deadlines)


class Carriers:
    """Makes carriers. In the main thread, before there are others and before the bus connects."""

    def __init__(self, modules: tuple[str, ...], settings: CarrierSettings | None = None) -> None:
        """`modules`: what carriers have loaded; a function of theirs named `warm` is called there once."""
        self.settings = settings or CarrierSettings()
        self.forks = ForkServer(modules)
        self._places: defaultdict[str | None, set[int]] = defaultdict(set)

    @contextmanager
    def place(self, tenant: str | None) -> Iterator[int]:
        """The first free place among the jobs of a tenant that have carriers here; None: of nobody's job."""
        taken = self._places[tenant]
        mine = next(number for number in itertools.count() if number not in taken)
        taken.add(mine)
        try:
            yield mine
        finally:
            taken.discard(mine)
            if not taken:
                self._places.pop(tenant, None)

    async def open(self, recipe: Recipe, keeper: Keeper, shelf: Shelf, place: int) -> Carrier:
        """A new carrier of a job that has this place among its tenant's. Raises CarrierDied when there can be none."""
        limits = Confinement(
            account=recipe.account or spare_account(keeper.job_id),
            writable=recipe.writable,
            readable=recipe.readable,
            memory=self.settings.memory,
            nice=turns.of_job(place),
        )
        child = await self.forks.fork(limits, shelf)
        return Carrier(child, recipe, keeper, self.settings.deadlines)

    async def once(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> JsonValue:
        """Run `function(context, *arguments)` in a carrier of its own, without files, and return what it returns.

        Raises what it raises, the errors of `carriers.errors`, CarrierStalled after that many seconds.
        """
        shelf, passing = Shelf.make(), Passing()
        try:
            with self.place(None) as place:
                carrier = await self.open(Recipe("once", _itself), passing, shelf, place)
                try:
                    async with asyncio.timeout(seconds):
                        return await carrier.call(function, *arguments)
                except TimeoutError as error:
                    raise CarrierStalled(f"The site was not looked at within {seconds:g} s.") from error
                finally:
                    await carrier.close()
        finally:
            shelf.close()

    def close(self) -> None:
        """End the fork-server and every carrier."""
        self.forks.close()


class JobCarriers:
    """The carriers of one job in the hands of this worker, by name; made when first asked for."""

    def __init__(self, pool: Carriers, keeper: Keeper) -> None:
        self._pool = pool
        self._keeper = keeper
        self._shelf: Shelf | None = None
        self._place = 0
        self._held = ExitStack()
        """Both of them, while there are carriers."""
        self._carriers: dict[str, Carrier] = {}
        self._opening = asyncio.Lock()

    @property
    def living(self) -> frozenset[str]:
        """Names of those that take calls."""
        return frozenset(name for name, carrier in self._carriers.items() if carrier.alive)

    async def call(self, name: str, make: Maker, function: Callable[..., Any], *arguments: Any) -> JsonValue:
        """Run `function` in the carrier of that name, made as `make` says if there is none. Raises like
        `Carrier.call`."""
        return await (await self._of(name, make)).call(function, *arguments)

    async def close(self, *names: str) -> None:
        """End these carriers, or all, and what they handed one another."""
        for name in names or tuple(self._carriers):
            if carrier := self._carriers.pop(name, None):
                await carrier.close()
        if not names:
            self._shelf = None
            self._held.close()

    async def _of(self, name: str, make: Maker) -> Carrier:
        async with self._opening:
            known = self._carriers.get(name)
            if known is not None and known.alive:
                return known
            if known is not None:
                await known.close()
            recipe, (shelf, place) = await make(), self._means()
            carrier = self._carriers[name] = await self._pool.open(recipe, self._keeper, shelf, place)
            return carrier

    def _means(self) -> tuple[Shelf, int]:
        if self._shelf is None:
            self._place = self._held.enter_context(self._pool.place(getattr(self._keeper.command, "tenant", None)))
            self._shelf = Shelf.make()
            self._held.callback(self._shelf.close)
        return self._shelf, self._place


class Passing:
    """What a carrier belongs to that works for no job."""

    command: Any = None
    attempt = 1

    def __init__(self) -> None:
        self.job_id = f"once-{secrets.token_hex(8)}"
        self.token = StopToken()
        self.state: dict[str, Any] = {}
        self.secrets: set[str] = set()
        self.began: datetime | None = None

    def report(
        self, done: int | None = None, total: int | None = None, unit: Unit | None = None, message: str | None = None
    ) -> None:
        """Nobody asks how far it is."""

    def note(self, note: Note) -> None:
        """Nobody reads it."""

    def called(self, what: str, began: float, ended: float, *, failed: bool = False) -> None:
        """It belongs to no trace."""

    def scrub(self, text: str) -> str:
        """Nothing secret is known here."""
        return text

    async def persist(self) -> None:
        """Nothing of it outlives the call."""


def spare_account(job_id: str) -> Account | None:
    """An account nobody else has, the same for the same job; None where we can not change accounts."""
    if os.geteuid() != 0:
        return None
    number = SPARE_FROM + zlib.crc32(job_id.encode()) % SPARES
    return Account(number, number) if _mapped(number) else Account(NOBODY, NOBODY)


def _mapped(number: int) -> bool:
    """Whether there is such an account here: containers often have a few thousand only."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            first, _, count = map(int, line.split())
            if first <= number < first + count:
                return True
    return False


def _itself(context: Any) -> Any:
    return context
