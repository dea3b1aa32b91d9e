"""The connector's archive, built in memory: the plugin and, for a job, its key."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from shared.wordpress.connector.protocol import KEY_BYTES, format_pairing_key, parse_pairing_key

PLUGIN_DIR: Final = "siteferry-connector"
PLUGIN_FILE: Final = f"{PLUGIN_DIR}/{PLUGIN_DIR}.php"
"""The plugin's name for WordPress (`plugin_basename`)."""
ZIP_NAME: Final = f"{PLUGIN_DIR}.zip"

_STAMP = (2026, 1, 1, 0, 0, 0)  # the same files give the same archive
_WHEEL = Path(__file__).parent / "php"
_CHECKOUT = Path(__file__).parents[3] / "connector"


def connector_source() -> Path:
    """The directory with the plugin's PHP: beside this module in a wheel, `connector/` in a checkout."""
    for place in (_WHEEL, _CHECKOUT):
        if (place / f"{PLUGIN_DIR}.php").is_file():
            return place
    raise FileNotFoundError("the connector's PHP files are not part of this installation")


def connector_version() -> str:
    """The version the plugin's header states; `hello` reports the same."""
    head = (connector_source() / f"{PLUGIN_DIR}.php").read_text()
    found = re.search(r"^ \* Version:\s*(\S+)", head, re.MULTILINE)
    assert found, "the plugin's header has no version"
    return found.group(1)


def build_connector_zip(key: bytes | None = None, job_id: str | None = None, expires_at: int | None = None) -> bytes:
    """A zip that WordPress installs as a plugin.

    With a key (32 bytes) it belongs to one job: it answers that key only, until `expires_at` (Unix seconds; required).
    Without, it is the archive for installing by hand: it makes its own key when it is activated and shows it.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        source = connector_source()
        files = {path.relative_to(source).as_posix(): path.read_bytes() for path in sorted(source.rglob("*.php"))}
        files.pop("key.php", None)
        if key is not None:
            files["key.php"] = _key_file(key, job_id or "", expires_at)
        files["files.txt"] = _list(files)
        for name, data in files.items():
            _add(archive, name, data)
    return buffer.getvalue()


def _key_file(key: bytes, job_id: str, expires_at: int | None) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a connector key has {KEY_BYTES} bytes")
    if expires_at is None:
        raise ValueError("a job's connector needs an end (expires_at)")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", job_id):
        raise ValueError("a job id holds letters, digits, - and _ only")
    job = job_id or "job"
    return f"<?php return array('key' => '{key.hex()}', 'expires' => {int(expires_at)}, 'job' => '{job}');\n".encode()


def _list(files: Mapping[str, bytes]) -> bytes:
    """What the plugin asks before it does anything: name and size of each file but the key, which may be made anew."""
    return "".join(f"{len(data)} {name}\n" for name, data in files.items() if name != "key.php").encode()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(f"{PLUGIN_DIR}/{name}", _STAMP)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)


__all__ = [
    "PLUGIN_DIR",
    "PLUGIN_FILE",
    "ZIP_NAME",
    "build_connector_zip",
    "connector_source",
    "connector_version",
    "format_pairing_key",
    "parse_pairing_key",
]
