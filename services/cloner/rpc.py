"""Answers the cloner gives at once, without a job: a clone's captured mail."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict

from nats.aio.msg import Msg

from services.cloner.drivers.port import Provisioner
from shared.bus.connection import Bus
from shared.contract.subjects import rpc
from shared.log import get

log = get(__name__)

MAX_REPLY = 900_000
"""Bytes of one answer: below the server's limit of 1 MB for a message."""
QUEUE = "cloners"


async def serve_mail(bus: Bus, driver: Provisioner) -> None:
    """Answer `rpc.cloner.mail` {"clone_id"} with {"mails": [...]}, newest first, as many as fit; for ever."""

    async def answer(msg: Msg) -> None:
        try:
            clone_id = str(json.loads(msg.data)["clone_id"])
            mails = [asdict(mail) for mail in await asyncio.to_thread(driver.mails, clone_id)]
        except (ValueError, KeyError, OSError) as error:
            await msg.respond(json.dumps({"error": str(error)}).encode())
            return
        await msg.respond(_fitting(mails))

    await bus.nc.subscribe(rpc("cloner", "mail"), queue=QUEUE, cb=answer)
    await asyncio.Event().wait()


def _fitting(mails: list[dict[str, object]]) -> bytes:
    while True:
        reply = json.dumps({"mails": mails}).encode()
        if len(reply) <= MAX_REPLY or not mails:
            return reply
        mails = mails[: len(mails) // 2]
