"""WPBakery's raw blocks, `[vc_raw_html]…[/vc_raw_html]`: base64 of rawurlencoded markup."""

from __future__ import annotations

import base64
import binascii
import re

from .spelling import RAW_LIMIT, slash

OPENING = re.compile(rb"\[(vc_raw_(?:html|js))\b[^\[\]]*+\]\s*+((?:[A-Za-z0-9+/=\\]++|\s++(?=[A-Za-z0-9+/=]))*+)\s*+")
"""The tag and its body, which may be folded into lines; groups: the name, the body."""

CLOSING = re.compile(rb"\[(%b)(vc_raw_(?:html|js))\]" % slash(RAW_LIMIT))
"""The tag at the end; groups: its slash, the name."""

_NO_BASE64 = re.compile(rb"[\s\\]+")


def from_base64(text: bytes) -> bytes | None:
    """What a body holds, read as PHP reads it: folded, padded or not, its slashes escaped or not. None: no base64."""
    text = _NO_BASE64.sub(b"", text).rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
