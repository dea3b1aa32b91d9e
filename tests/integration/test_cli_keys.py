"""`siteferry keys` against a real gateway and a real status service: what it makes opens, what it ends does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.live import command
from tests.live.guarded import Guarded, guarded
from tests.live.stack import eventually

BOSS = "key-of-the-operator"


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Guarded]:
    async with guarded() as found:
        found.key_file.write_text(f"boss:{hashlib.sha256(BOSS.encode()).hexdigest()}:house::operator\n")
        await eventually(lambda: opens(found, BOSS), timeout=30, what="the operator's key")
        yield found


async def opens(it: Guarded, secret: str, path: str = "/jobs") -> bool:
    async with httpx2.AsyncClient(base_url=it.url, timeout=40, trust_env=False) as client:
        return (await client.get(path, headers={"Authorization": f"Bearer {secret}"})).status_code == 200


async def siteferry(it: Guarded, *arguments: str, key: str = BOSS) -> tuple[int, str, str]:
    return await command.siteferry(it.url, key, "keys", *arguments)


async def test_a_key_is_made_listed_rotated_and_revoked(it: Guarded) -> None:
    limits = ["--tenant", "agency", "--lane", "normal", "--rate", "120", "--slots", "2", "--expires", "90"]
    code, out, err = await siteferry(it, "create", "CI of the shop", *limits, "--json")
    assert code == 0, err
    made = json.loads(out)
    told = {"tenant": "agency", "scope": "submit", "lane": "normal", "rate_per_minute": 120, "slots": 2}
    assert told.items() <= made.items()
    assert await opens(it, made["secret"])

    code, out, _ = await siteferry(it, "list")
    assert code == 0
    row = next(line for line in out.splitlines() if made["id"] in line)
    for word in ("active", "agency", "submit", "normal, 120/min, 2 slots", "CI of the shop"):
        assert word in row
    assert made["secret"] not in out

    code, out, err = await siteferry(it, "rotate", made["id"], "--overlap", "1h")
    assert (code, "not shown again" in out + err) == (0, True)
    new = next(word for word in out.split() if word.startswith("sfk_"))
    assert new != made["secret"]
    assert [await opens(it, secret) for secret in (new, made["secret"])] == [True, True]

    assert (await siteferry(it, "revoke", made["id"]))[0] == 0
    for secret in (new, made["secret"]):
        await eventually(lambda secret=secret: _shut(it, secret), timeout=10, what="the end of the key")
    assert made["id"] not in (await siteferry(it, "list"))[1]
    assert "revoked" in (await siteferry(it, "list", "--all"))[1]


async def _shut(it: Guarded, secret: str) -> bool:
    return not await opens(it, secret)


async def test_what_a_key_may_not_is_said_with_an_exit_code(it: Guarded) -> None:
    weak = json.loads((await siteferry(it, "create", "weak", "--scope", "read", "--json"))[1])
    code, _, err = await siteferry(it, "list", key=weak["secret"])
    assert (code, "scope" in err) == (3, True)
    code, _, err = await siteferry(it, "create", "x", key="sfk_nobody")
    assert (code, "key" in err) == (3, True)
    assert (await siteferry(it, "create", "x", "--slots", "0"))[0] == 2
    assert (await siteferry(it, "revoke", "key-00000000000000000000"))[0] == 1


async def test_a_link_is_printed_for_a_browser(it: Guarded) -> None:
    code, out, _ = await siteferry(it, "link")
    assert code == 0
    assert out.startswith("http")
    assert BOSS not in out
