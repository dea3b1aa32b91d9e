"""`siteferry images`: what further clones of a source begin with."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from siteferry.cli import render
from siteferry.cli.context import api_of
from siteferry.cli.jobs import JsonFlag


def images(
    context: typer.Context,
    delete: Annotated[str | None, typer.Option(metavar="IMAGE", help="Forget this one first.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List images of sources, newest first: a further clone begins with one and fetches only what changed since.

    \b
    siteferry images
    siteferry images --delete image-0k3v9x2m7c1p5t8w
    """
    api = api_of(context)
    page = api.delete(f"/images/{delete}") if delete else api.get("/images")
    if as_json:
        return render.print_json(page)
    if not page["images"]:
        return render.say("No images. With SITEFERRY_IMAGE_HOURS a clone leaves one for the next clone of its source.")
    rows: list[list[str | Text]] = [
        [
            item["image_id"],
            render.ago(item["made_at"]),
            render.ago(item["used_at"]),
            render.until(item["expires_at"]),
            render.size(item["bytes"]),
            item["source"],
        ]
        for item in page["images"]
    ]
    return render.table(["IMAGE", "MADE", "USED", "ENDS", "SIZE", "SOURCE"], rows)
