"""Clones without WordPress for tests of cells: the folders, the guard, an index.php that says what was asked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from shared.cells.isolation import accounts
from shared.cells.source import cell_source
from siteferry.embedded.servers.base import running_as_root


def account_of(clone: str) -> int:
    """The account a clone of these tests gets."""
    first, count = accounts()
    return first + int(clone[-16:], 36) % count


def make_clone(clone: Path, *, allow_http: Sequence[str] = (), media: dict[str, str] | None = None) -> None:
    """A clone's directory as the driver makes it."""
    for name in ("site", "tmp", "log", "mail", "cache", "guard"):
        folder = clone / name
        folder.mkdir(parents=True)
        if running_as_root() and name != "guard":
            os.chown(folder, account_of(clone.name), account_of(clone.name))
    clone.chmod(0o711)
    clone.parent.chmod(0o711)
    for name in ("sendmail.sh", "guard.php", "prepend.php"):
        shutil.copy(cell_source() / "guard" / name, clone / "guard")
    facts = "array('host' => 'x', 'source' => 'x', 'allow_http' => array(), 'quarantined_plugins' => array())"
    (clone / "guard" / "config.php").write_text(f"<?php return {facts};")
    (clone / "guard" / "cell.json").write_text(json.dumps({"allow_http": list(allow_http), "media": media}))
    (clone / "guard" / "constants.php").write_text("<?php")
    index = clone / "site" / "index.php"
    index.write_text("<?php echo 'front ', $_SERVER['REQUEST_URI'];")
    give(index, clone.name)
    (clone / "wp-config.php").write_text(f"<?php const SECRET_OF = '{clone.name}';")


def give(path: Path, clone: str) -> None:
    """A file the clone's PHP has made, as it were."""
    if running_as_root():
        os.chown(path, account_of(clone), account_of(clone))
