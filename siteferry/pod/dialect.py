"""What the database of an image knows, written down when the images are built: a clone is planned before it has one."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from services.cloner.drivers.host.mariadb import CloneDatabases
from siteferry.embedded.servers import MariaDB, running


def main() -> None:
    """Write the file that is named last on the command line."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o711)
        with running(MariaDB(Path(scratch) / "mariadb")) as server:
            known = CloneDatabases(server.socket, server.admin_user, server.admin_password_file).dialect()
    facts = {name: sorted(getattr(known, name)) for name in ("collations", "engines", "functions")}
    Path(sys.argv[-1]).write_text(json.dumps(facts, indent=1) + "\n")
