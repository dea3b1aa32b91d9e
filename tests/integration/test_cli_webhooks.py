"""`siteferry webhooks` against a real gateway, a real status service and a real receiver."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from tests.integration.test_webhooks import receiver
from tests.live import command
from tests.live.guarded import KEYS, Guarded, guarded


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Guarded]:
    async with guarded(webhook_networks="127.0.0.0/8") as found:
        yield found


async def siteferry(it: Guarded, *arguments: str) -> tuple[int, str, str]:
    return await command.siteferry(it.url, KEYS["agency"], "webhooks", *arguments)


async def test_a_webhook_is_added_tried_looked_at_and_removed(it: Guarded) -> None:
    async with receiver() as hooks:
        code, out, _ = await siteferry(it, "add", hooks.url, "-e", "clone.completed", "--json")
        assert code == 0
        made = json.loads(out)
        assert made["secret"].startswith("whsec_")
        code, out, _ = await siteferry(it, "list")
        assert made["id"] in out
        assert "clone.completed" in out
        code, _, err = await siteferry(it, "test", made["id"])
        assert (code, "Taken" in err) == (0, True)
        assert hooks.got[0].told["type"] == "webhook.test"
        code, out, _ = await siteferry(it, "deliveries", made["id"])
        assert "delivered" in out
        hooks.answers.append(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
        code, _, err = await siteferry(it, "test", made["id"])
        assert (code, "answered 500" in err) == (1, True)
        assert (await siteferry(it, "remove", made["id"]))[0] == 0
        assert (await siteferry(it, "test", made["id"]))[0] == 1
    code, _, err = await siteferry(it, "add", "http://10.0.0.1/")
    assert code == 2
    assert "private network" in err
