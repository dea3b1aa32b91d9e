"""Questions to the cloner, which alone sees clones' directories and sources: asked over NATS, answered at once."""

from __future__ import annotations

from typing import TypeVar

from nats.errors import NoRespondersError
from pydantic import BaseModel, ValidationError

from services.gateway.edge import Edge
from services.gateway.problems import Problem
from shared.contract.subjects import rpc

Reply = TypeVar("Reply", bound=BaseModel)


async def ask(edge: Edge, operation: str, question: BaseModel, reply: type[Reply], *, seconds: float) -> Reply | None:
    """What the cloner says to `rpc.cloner.<operation>`; None when none answers in time and in this form."""
    try:
        said = await edge.bus.nc.request(rpc("cloner", operation), question.model_dump_json().encode(), timeout=seconds)
        return reply.model_validate_json(said.data)
    except (NoRespondersError, TimeoutError, ValidationError):
        return None


def away(only: str, *, hint: str = "Try again when the cloner runs.") -> Problem:
    """The answer when none answers. `only`: what nobody else can do."""
    text = f"No cloner answers, and only it {only}."
    return Problem(503, "cloner_unavailable", text, hint=hint, headers={"Retry-After": "5"})
