"""Which files of the uploads may stay on the source and be fetched when they are first asked for (ADR 59).

Pictures and documents a browser shows or stores, by the end of their name. Not among them, so copied as ever: what can
run (php, html, svg, css, js), what the site's own PHP reads (csv, json, xml, txt, archives), and sound and film, which
are asked for in parts.
"""

from __future__ import annotations

import re
from typing import Final

from shared.wordpress.connector.skips import FileRule

PICTURES: Final = (
    *("image/jpeg", "image/jpg", "image/pjpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/heic"),
    *("image/heif", "image/bmp", "image/x-ms-bmp", "image/tiff", "image/x-icon", "image/vnd.microsoft.icon"),
)
"""Content types a picture may come with: servers convert them on the way, browsers look at the bytes."""
IMAGES: Final = {
    **dict.fromkeys(("jpg", "jpeg", "jpe"), "image/jpeg"),
    **{end: f"image/{end}" for end in ("png", "gif", "webp", "avif", "heic", "heif", "bmp")},
    **dict.fromkeys(("tif", "tiff"), "image/tiff"),
    "ico": "image/x-icon",
}
"""Pictures by extension, and as what they are served."""
_OFFICE = "application/vnd.openxmlformats-officedocument."
DOCUMENTS: Final = {
    "pdf": ("application/pdf",),
    "rtf": ("application/rtf", "text/rtf"),
    "doc": ("application/msword",),
    "xls": ("application/vnd.ms-excel",),
    "ppt": ("application/vnd.ms-powerpoint",),
    "docx": (f"{_OFFICE}wordprocessingml.document",),
    "xlsx": (f"{_OFFICE}spreadsheetml.sheet",),
    "pptx": (f"{_OFFICE}presentationml.presentation",),
    "odt": ("application/vnd.oasis.opendocument.text",),
    "ods": ("application/vnd.oasis.opendocument.spreadsheet",),
    "epub": ("application/epub+zip",),
}
"""Documents by extension, and with which types they may come; they are served as the first."""
UNKNOWN: Final = "application/octet-stream"
"""What servers say of types they do not know."""
YOUNG: Final = frozenset({"webp", "avif", "heic", "heif"})
"""Pictures whose types older servers do not know."""
EXTENSIONS: Final = frozenset({*IMAGES, *DOCUMENTS})

STAYS = "media-remote"
RULE: Final = FileRule(
    STAYS,
    "uploads",
    tuple(f"**/*.{extension}" for extension in sorted(EXTENSIONS)),
    "fetched when it is first asked for",
    "file",
)
PLAIN = re.compile(r"/(?:[A-Za-z0-9_~][A-Za-z0-9._~-]*/)+")
"""Where uploads must be below for this: a prefix of paths that means the same to every part that reads it."""


def extension(path: bytes | str) -> str:
    """The end of a file's name in small letters, without the dot; "" when it has none, or hides."""
    name = (path.decode("latin-1") if isinstance(path, bytes) else path).rpartition("/")[2]
    stem, dot, end = name.rpartition(".")
    return end.lower() if dot and stem else ""


def stays(path: bytes | str) -> bool:
    """Whether a file below the uploads is one of those that stay."""
    return extension(path) in EXTENSIONS


def served_as(end: str) -> str:
    """The content type of a file with this extension, which is one of `EXTENSIONS`."""
    return IMAGES[end] if end in IMAGES else DOCUMENTS[end][0]


def fits(end: str, content_type: str) -> bool:
    """Whether what came with this content type may be what a file with this extension holds."""
    said = content_type.partition(";")[0].strip().lower()
    if end in IMAGES:
        return said in PICTURES or (said == UNKNOWN and end in YOUNG)
    return said in DOCUMENTS.get(end, ()) or (said == UNKNOWN and end in DOCUMENTS)
