"""Answers the cloner gives at once, without a job: a clone's captured mail, links that sign in, images of sources."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta

from nats.aio.msg import Msg
from pydantic import BaseModel

from services.cloner.drivers.port import CloneSilent, Provisioner, UserNotFound
from shared.bus.connection import Bus
from shared.contract import images, states
from shared.contract.login_link import Question, Reply
from shared.contract.subjects import rpc
from shared.errors import JobError
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


async def serve_login_links(bus: Bus, driver: Provisioner) -> None:
    """Answer `rpc.cloner.login` (`shared.contract.login_link`), for ever. Several links are made beside each other."""
    making: set[asyncio.Task[None]] = set()

    async def answer(msg: Msg) -> None:
        reply = await asyncio.to_thread(_login_link, driver, msg.data)
        await msg.respond(reply.model_dump_json().encode())

    async def take(msg: Msg) -> None:
        task = asyncio.create_task(answer(msg))
        making.add(task)
        task.add_done_callback(making.discard)

    await bus.nc.subscribe(rpc("cloner", "login"), queue=QUEUE, cb=take)
    await asyncio.Event().wait()


async def _serve(bus: Bus, operation: str, reply: Callable[[bytes], BaseModel]) -> None:
    """Answer one question after the other, for ever; `reply` runs in a thread."""

    async def answer(msg: Msg) -> None:
        told = await asyncio.to_thread(reply, msg.data)
        await msg.respond(told.model_dump_json().encode())

    await bus.nc.subscribe(rpc("cloner", operation), queue=QUEUE, cb=answer)
    await asyncio.Event().wait()


async def serve_states(bus: Bus, driver: Provisioner) -> None:
    """Answer `rpc.cloner.states` (`shared.contract.states`), for ever."""
    await _serve(bus, "states", lambda data: _states(driver, data))


def _states(driver: Provisioner, data: bytes) -> states.Reply:
    if driver.states is None:
        return states.Reply(refused="not_offered")
    try:
        question = states.Question.model_validate_json(data)
        if question.drop is not None:
            driver.states.drop(question.clone_id, question.drop)
        kept = [asdict(state) | {"made_at": state.made_at or None} for state in driver.states.kept(question.clone_id)]
        return states.Reply(states=[states.State.model_validate(state) for state in kept])
    except (JobError, OSError, ValueError) as error:
        log.warning("states of a clone could not be told", error=repr(error))
        return states.Reply(refused="away")


async def serve_images(bus: Bus, driver: Provisioner, *, hours: float) -> None:
    """Answer `rpc.cloner.images` (`shared.contract.images`), for ever; a tenant hears of its own."""
    await _serve(bus, "images", lambda data: _images_told(driver, data, timedelta(hours=hours)))


def _images_told(driver: Provisioner, data: bytes, kept: timedelta) -> images.Reply:
    try:
        question = images.Question.model_validate_json(data)
        store, reply = driver.images, images.Reply()
        if store is None:
            return reply
        own = [one for one in store.all() if one.tenant == question.tenant]
        if question.drop in {one.id for one in own}:
            assert question.drop is not None
            store.drop(question.drop)
            reply.dropped = True
    except (JobError, OSError, ValueError) as error:
        log.warning("images could not be looked at", error=repr(error))
        return images.Reply(away=True)
    reply.images = [
        images.Told(
            image_id=one.id,
            source=one.source,
            made_at=one.made_at,
            used_at=one.used_at,
            expires_at=one.made_at + kept,
            files=one.files,
            bytes=one.bytes,
            rows=one.rows,
        )
        for one in own
        if one.id != question.drop
    ]
    return reply


def _login_link(driver: Provisioner, data: bytes) -> Reply:
    try:
        question = Question.model_validate_json(data)
        link = driver.login_link(question.clone_id, question.user)
    except UserNotFound:
        return Reply(refused="user_not_found")
    except CloneSilent as error:
        return Reply(refused="clone_silent", words=str(error))
    except (JobError, OSError, ValueError) as error:  # our own part is away, or the clone is not here any more
        log.warning("no login link could be made", error=repr(error))
        return Reply(refused="away")
    return Reply(query=link.query, login=link.login, ends=link.ends)


def _fitting(mails: list[dict[str, object]]) -> bytes:
    while True:
        reply = json.dumps({"mails": mails}).encode()
        if len(reply) <= MAX_REPLY or not mails:
            return reply
        mails = mails[: len(mails) // 2]
