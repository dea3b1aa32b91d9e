"""What a worker does with images of sources: finds one that fits a clone, begins the clone with it, keeps a new one.

An image is a help, never a condition: whatever is wrong with one, the clone is copied whole, and a note says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from services.cloner.commands import command_of
from services.cloner.drivers.host.snapshots import NoSuchSnapshot, SnapshotDamaged, SnapshotRefused
from services.cloner.drivers.port import Image, Images, Provisioner
from services.cloner.errors import STOPS
from services.cloner.settings import ClonerSettings
from services.cloner.steps.base import rows_file
from services.cloner.steps.reuse import IMAGE_ROWS
from shared.contract.jobs import Note, Reused
from shared.engine.context import JobContext
from shared.errors import JobError
from shared.log import get
from shared.wordpress.found import Found, believed, source_key
from shared.wordpress.transfer.errors import TargetRefused

log = get(__name__)

FORGOTTEN = (
    "image files_done files_cursor received copied_from base_files base_rows base_proved base_caught_up rewritten"
    " reused_files reused_rows"
).split()
"""What of a job's memory goes when everything is copied anew."""
KEPT_NOTES = ("left_", "definitions_simplified")
"""Codes of notes that hold for a further clone, which does not look at what has not changed."""


class ImageUse:
    """Images in the steps of one clone after the other."""

    def __init__(self, driver: Provisioner, settings: ClonerSettings) -> None:
        self._driver = driver
        self._hours = settings.image_hours
        self._most = settings.images_max_bytes

    @property
    def _images(self) -> Images | None:
        return self._driver.images if self._hours else None

    async def choose(self, context: JobContext, fingerprint: str) -> None:
        """Remember which image fits, if one does."""
        images, state = self._images, context.state
        state["fingerprint"] = fingerprint
        if images is None or command_of(context).options.fresh:
            return
        tenant, source = _whose(context)
        oldest = datetime.now(UTC) - timedelta(hours=self._hours)
        of_source = [
            image
            for image in await context.blocking(images.all)
            if (image.tenant, image.source) == (tenant, source) and image.made_at > oldest
        ]
        fitting = next((image for image in of_source if image.fingerprint == fingerprint), None)
        if fitting is not None:
            state["image"] = fitting.id
        elif of_source:
            _note(context, "the site's tables or folders, the options or Siteferry are other ones than at that time")

    async def begin(self, context: JobContext) -> bool:
        """Fill the clone's place with the image. False when that could not be done: then it is empty, as if anew."""
        images, state = self._images, context.state
        if images is None:
            await self.give_up(context, "images are not kept any more")
            return False
        context.report(message="Preparing what an earlier clone got")
        found = {image.id: image for image in await context.blocking(images.all)}.get(state["image"])
        tenant, source = _whose(context)
        if found is None or (found.tenant, found.source) != (tenant, source):
            await self.give_up(context, "it is not there any more")
            return False
        try:
            check = context.token.check
            await context.blocking(images.put, found.id, context.job_id, IMAGE_ROWS, check=check)
        except (NoSuchSnapshot, SnapshotDamaged, SnapshotRefused, TargetRefused) as error:
            log.warning("an image can not be used", image=found.id, error=repr(error))
            await context.blocking(images.drop, found.id)
            await self.give_up(context, error.message)
            return False
        state.pop("base_proved", None)
        state.pop("base_caught_up", None)
        state["image_made_at"], state["image_notes"] = found.made_at.isoformat(), found.facts.get("notes", [])
        await context.checkpoint()
        return True

    async def give_up(self, context: JobContext, why: str) -> None:
        """The clone is copied whole: its place is made anew."""
        _note(context, why)
        for name in FORGOTTEN:
            context.state.pop(name, None)
        await context.blocking(self._driver.destroy, context.job_id)
        await context.blocking(self._driver.ensure, context.job_id)
        await context.checkpoint()

    async def keep(self, context: JobContext) -> None:
        """Files and rows have come, nothing of ours is in them yet: keep them, once. Never fails a clone."""
        images, state = self._images, context.state
        if state.get("image_tried"):
            return
        if state.get("image"):
            noted = {note.code for note in context.notes}
            for note in state.get("image_notes", []):
                if note["code"] not in noted:
                    context.note(Note.model_validate(note))
        elif images is not None and state.get("base_rows") and state.get("fingerprint"):
            try:
                await self._keep(context, images)
            except STOPS:
                raise
            except (JobError, OSError) as error:
                log.warning("no image was kept", clone=context.job_id, error=repr(error))
        state["image_tried"] = True
        await context.checkpoint()

    async def _keep(self, context: JobContext, images: Images) -> None:
        state, (tenant, source) = context.state, _whose(context)
        needed = int(state.get("needed", 0))
        if needed > self._most or await context.blocking(images.free_bytes) < 2 * needed:
            log.info("no room for an image", clone=context.job_id, needed=needed)
            return
        context.report(message="Keeping what the source sent, for further clones")
        notes = [note.model_dump() for note in context.notes if note.code.startswith(KEPT_NOTES)]
        facts: dict[str, Any] = {
            "tenant": tenant,
            "source": source,
            "fingerprint": state["fingerprint"],
            "rows": state["totals"]["rows"],
            "notes": notes,
        }
        earlier = [one for one in await context.blocking(images.all) if (one.tenant, one.source) == (tenant, source)]
        rows, check = rows_file(state), context.token.check
        made = await context.blocking(images.capture, context.job_id, rows, facts, check=check)
        for image in earlier:
            if image.fingerprint == made.fingerprint and image.id != made.id:
                await context.blocking(images.drop, image.id)
        for image in surplus(await context.blocking(images.all), most=self._most, hours=self._hours):
            await context.blocking(images.drop, image.id)


@dataclass(frozen=True)
class ImageLimits:
    """How long and how many images are kept."""

    hours: float = 0
    most: int = 0
    """Bytes of all together."""


def surplus(images: list[Image], *, most: int, hours: float) -> list[Image]:
    """Images whose time is up, and the least recently used of those that are more than may be kept."""
    oldest = datetime.now(UTC) - timedelta(hours=hours)
    gone, size = [], 0
    for image in sorted(images, key=lambda one: one.used_at, reverse=True):
        size += image.bytes
        if image.made_at <= oldest or size > most:
            gone.append(image)
            size -= image.bytes
    return gone


def reused(state: dict[str, Any]) -> Reused | None:
    """What of a clone came from an image."""
    if not state.get("image") or "reused_files" not in state or "reused_rows" not in state:
        return None
    files, rows, received = state["reused_files"], state["reused_rows"], state["received"]
    return Reused(
        image_id=state["image"],
        made_at=datetime.fromisoformat(state["image_made_at"]),
        files=files["files"],
        bytes=files["bytes"],
        rows=rows["rows"],
        travelled_files=received["files"] - files["files"],
        travelled_bytes=received["size"] - files["bytes"],
        travelled_rows=rows["travelled"],
    )


def _note(context: JobContext, why: str) -> None:
    text = f"Everything was copied, not only what changed since an earlier clone: {why}"
    context.note(Note(code="image_not_used", message=text[:1000]))


def _whose(context: JobContext) -> tuple[str, str]:
    command = command_of(context)
    return command.tenant, source_key(believed(Found, context.state["site"]), command.source_url)
