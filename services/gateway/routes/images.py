"""Images of sources: what further clones begin with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.responses import Response

from services.gateway import cloner
from services.gateway.edge import Edge, enter
from services.gateway.problems import Problem
from services.gateway.routes.responses import problem
from shared.contract.images import Question, Reply, Told

router = APIRouter(tags=["images"])
PATIENCE = 15.0

ImageId = Annotated[str, Path(max_length=60, description="The image's id.")]


class ImageList(BaseModel):
    """What further clones begin with, newest first."""

    images: list[Told]


@router.get(
    "/images",
    operation_id="listImages",
    summary="List images of sources",
    response_model=ImageList,
    responses=problem(503),
)
async def list_images(request: Request) -> Response:
    """What sources were when clones of them were made, newest first. A further clone of the same source begins with its
    image and fetches only what has changed since."""
    edge, principal = enter(request)
    return _told(await _ask(edge, Question(tenant=principal.tenant)))


@router.delete(
    "/images/{image_id}",
    operation_id="deleteImage",
    summary="Delete an image of a source",
    response_model=ImageList,
    responses=problem(404, 429, 503),
)
async def delete_image(request: Request, image_id: ImageId) -> Response:
    """Forget an image; clones stay as they are, the next one of that source is copied whole. Those that are left."""
    edge, principal = enter(request)
    limit = await edge.take(principal)
    await edge.audit.begin()
    reply = await _ask(edge, Question(tenant=principal.tenant, drop=image_id))
    if not reply.dropped:
        raise Problem(404, "image_not_found", "There is no such image.", hint="GET /images lists the images.")
    response = _told(reply)
    response.headers.update(limit)
    return response


async def _ask(edge: Edge, question: Question) -> Reply:
    reply = await cloner.ask(edge, "images", question, Reply, seconds=PATIENCE)
    if reply is None or reply.away:
        raise cloner.away("can look at images")
    return reply


def _told(reply: Reply) -> Response:
    return Response(ImageList(images=reply.images).model_dump_json(), media_type="application/json")
