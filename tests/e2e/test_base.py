"""The base of a clone is what its source was, as the connector digests it, though the cloner was killed."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest

from services.cloner.domain import make_plan
from shared.bus import base_store
from shared.bus.connection import connect
from shared.contract.events import CloneOptions
from shared.settings import Settings
from shared.wordpress.base import PLACES, Base, row_identity
from shared.wordpress.connector.skips import FILE_RULES, file_rule_params
from shared.wordpress.connector.target import FileDigest, TableRead
from shared.wordpress.connector.writer import SiteWriter, split_digest
from shared.wordpress.transfer.ddl import Dialect
from siteferry.embedded.instance import running_instance
from tests.e2e.product import Product, product
from tests.e2e.target import rows
from tests.integration.connected import Connected, connected
from tests.integration.house import eventually
from tests.sites.farm import SourceFarm
from tests.sites.nasty import files, tables
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

CHANGES = frozenset({"options", "usermeta"})
"""Tables the sign-in itself writes to: sessions, active plugins."""
ADMINISTRATOR = "administrator"
"""The moment in which the clone's administrator exists and its worker may not have said so."""


@pytest.fixture(scope="module")
def siteferry() -> Iterator[Product]:
    with product(environment={"SITEFERRY_ACK_WAIT": "6"}) as running:
        yield running


@pytest.fixture(scope="module")
def site(farm: SourceFarm) -> Site:
    made = farm.create(SiteSpec("remembered"))
    files.big_file(made, 150 << 20)
    tables.big_values(made, 8 << 20)
    tables.hard_tables(made)
    return made


async def base_of(siteferry: Product, clone_id: str) -> Base | None:
    instance = running_instance(siteferry.state)
    assert instance is not None
    settings = Settings(nats_url=instance.nats_url, nats_token_file=Path(instance.nats_token_file))
    async with connect(settings, service="test") as bus:
        return await base_store.load(bus, clone_id)


def reads(source: Connected) -> list[TableRead]:
    """Every table, as the cloner and a restore look at it."""
    facts = source.client.call("inspect")
    dialect = Dialect(frozenset(), frozenset({"innodb", "myisam", "aria"}))
    plan = make_plan(facts, target_url="http://x", document_root="/x", dialect=dialect, options=CloneOptions())
    found = []
    for table in plan.tables:
        if table.with_rows:
            short = table.name.removeprefix(facts["prefix"])
            key, names = row_identity(short, table.key, [column.name for column in table.columns])
            known = {column.name: {"name": column.name, "type_class": column.type_class} for column in table.columns}
            found.append(TableRead(table.name, tuple(known[name] for name in names), key, table.where))
    return found


def differing(base: Base, source: Connected) -> list[str]:
    """Where the base is not what the connector says of the source now."""
    writer = SiteWriter(source.client, "restore-base")
    found: dict[str, dict[bytes, bytes]] = {}
    told = reads(source)
    keyed = {table.name for table in told if table.key}
    for name, block in writer.digest_rows(told):
        rows = found.setdefault(name, {})
        for line in block.split(b"\n")[:-1]:
            key, digest = split_digest(line)
            md5 = bytes.fromhex(digest.decode())
            rows[key if name in keyed else md5] = md5
    wrong = []
    for table in told:
        short, expected = table.name.removeprefix(base.header.prefix), found.get(table.name, {})
        ours = base.rows(short, table.key, [column["name"] for column in table.columns])
        if expected and short not in CHANGES and ours != expected:
            wrong.append(f"{short}: {len(ours or {})} of {len(expected)} rows")
    rules = file_rule_params(list(FILE_RULES))
    listed = {
        (item.base, item.path): item.md5 for item in writer.digest_files(PLACES, rules) if isinstance(item, FileDigest)
    }
    wrong += [
        f"{name} differs" for name in sorted(listed.keys() | base.files) if listed.get(name) != base.files.get(name)
    ]
    return wrong


@pytest.mark.parametrize("killed_in", [(), ("files", "database", ADMINISTRATOR)], ids=["whole", "killed"])
async def test_base_is_the_source_as_it_was(siteferry: Product, site: Site, killed_in: tuple[str, ...]) -> None:
    job_id = siteferry.submit(site)

    def reached(step: str) -> bool:
        if step == ADMINISTRATOR:
            return has_administrator(siteferry, site, job_id)
        steps = siteferry.job(job_id)["steps"]
        return any(s["name"] == step and s["state"] != "pending" and (s["done"] or step != "files") for s in steps)

    for step in killed_in:
        eventually(lambda step=step: reached(step), timeout=90, what=f"step {step}")
        os.kill(siteferry.pid("cloner"), signal.SIGKILL)
    job = siteferry.wait(job_id, timeout=180)
    assert job["status"] == "completed", job["error"]
    base = await base_of(siteferry, job_id)
    assert base is not None, siteferry.log()[-3000:]
    assert (base.header.clone_id, base.header.prefix) == (job_id, site.prefix)
    assert "base_missing" not in {note["code"] for note in job["result"]["notes"]}
    with connected(site) as source:
        assert differing(base, source) == []
    check_new_ids(siteferry, site, job, base)
    row = site.sql("SELECT option_name, option_value, autoload FROM {p}options WHERE option_name='blogname'")[0]
    line = "\t".join(row).encode()
    assert base.tables["options"].rows[b"blogname"] == hashlib.md5(line, usedforsecurity=False).digest()
    assert not (siteferry.directory(job_id) / "records").exists()
    assert siteferry.http.delete(f"/clones/{job_id}").status_code == 202
    eventually(lambda: siteferry.http.get(f"/clones/{job_id}").json()["state"] == "deleted", timeout=60, what="the end")
    assert await base_of(siteferry, job_id) is None


def has_administrator(siteferry: Product, site: Site, job_id: str) -> bool:
    """Whether the clone's administrator was made, which is not known to anybody else yet."""
    with suppress(pymysql.MySQLError):
        return bool(rows(siteferry, job_id, f"SELECT ID FROM {site.prefix}users WHERE user_login='siteferry'"))
    return False


def check_new_ids(siteferry: Product, site: Site, job: dict[str, Any], base: Base) -> None:
    """New rows of the clone and of its source never share a number, and base and result say where they begin."""
    first = job["result"]["first_ids"]
    assert dict(base.header.first_ids) == first
    assert {f"{site.prefix}{name}" for name in ("posts", "users", "comments", "options")} <= first.keys()
    for name in ("posts", "users"):
        last = int(site.sql(f"SELECT MAX(ID) FROM {{p}}{name}")[0][0])
        assert first[f"{site.prefix}{name}"] > last + 999_000
    found = rows(siteferry, job["job_id"], f"SELECT ID FROM {site.prefix}users WHERE user_login='siteferry'")
    assert int(found[0][0]) == first[f"{site.prefix}users"]
