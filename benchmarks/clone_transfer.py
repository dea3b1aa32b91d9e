"""The data path of a clone (files + database + rewriting) against the floor: tar | tar and mariadb-dump | mariadb.

Both run in turn, several times, on the same site, machine, target directory (`clones`, each time a name of its own: the
file system places trees by name) and target database server; the floor rewrites nothing.
The clone is a whole one through the product; its data path is the time from the start of the files step to the end
of the database step, as the job itself reports it.
"""

from __future__ import annotations

import secrets
import shutil
import statistics
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.site import build
from siteferry.embedded.servers import MariaDB
from tests.e2e.product import Product, product
from tests.sites.farm import SourceFarm
from tests.sites.site import Site

ROUNDS = 3
SCRATCH = "floor"


def run(scale: float = 1.0, rounds: int = ROUNDS) -> dict[str, Any]:
    """Figures of one run; times are medians in seconds, `ratio_to_floor` is clone / floor."""
    with SourceFarm() as farm, product() as siteferry:
        site = build(farm, scale=scale).site
        floors, clones = [], []
        for _ in range(rounds):
            floors.append(floor(site, siteferry))
            clones.append(clone(site, siteferry))
    median_floor = {name: statistics.median(f[name] for f in floors) for name in floors[0]}
    paths = [c["data_path"] for c in clones]
    middle = sorted(clones, key=lambda c: c["data_path"])[len(clones) // 2]
    floor_seconds = statistics.median(f["files"] + f["database"] for f in floors)
    return {
        "benchmark": "clone-transfer",
        "files": middle["files"],
        "bytes": middle["bytes"],
        "rows": middle["rows"],
        "rewritten": middle["rewritten"],
        "leftovers": middle["leftovers"],
        "floor_s": round(floor_seconds, 2),
        "floor_files_s": round(median_floor["files"], 2),
        "floor_database_s": round(median_floor["database"], 2),
        "data_path_s": round(statistics.median(paths), 2),
        "whole_job_s": round(middle["whole_job"], 2),
        "phase_share": middle["share"],
        "ratio_to_floor": round(statistics.median(paths) / floor_seconds, 2),
        "ratios": [
            round(c["data_path"] / (f["files"] + f["database"]), 2) for c, f in zip(clones, floors, strict=True)
        ],
    }


def floor(site: Site, siteferry: Product) -> dict[str, float]:
    """Seconds of the fastest plain copy: nothing is rewritten, nothing is checked."""
    target = siteferry.state / "clones" / f"{SCRATCH}-{secrets.token_hex(8)}"
    target.mkdir()
    started = time.monotonic()
    _pipe(["tar", "-C", str(site.docroot), "-cf", "-", "."], ["tar", "-C", str(target), "-xf", "-"])
    files = time.monotonic() - started
    theirs, ours = site.farm.database, MariaDB(siteferry.state / "mariadb")
    _sql(ours, f"CREATE DATABASE {SCRATCH}")
    started = time.monotonic()
    _pipe(["mariadb-dump", *_login(theirs), site.database], ["mariadb", *_login(ours), SCRATCH])
    database = time.monotonic() - started
    _sql(ours, f"DROP DATABASE {SCRATCH}")
    shutil.rmtree(target)
    return {"files": files, "database": database}


def clone(site: Site, siteferry: Product) -> dict[str, Any]:
    """One clone and where its time went."""
    job = siteferry.clone(site, timeout=300)
    steps = {step["name"]: step for step in job["steps"]}
    seconds = {name: _seconds(step["started_at"], step["finished_at"]) for name, step in steps.items()}
    whole = _seconds(job["started_at"], job["finished_at"])
    result = job["result"]
    answer = siteferry.http.delete(f"/clones/{result['clone_id']}")
    assert answer.status_code == 202, answer.text
    _until_gone(siteferry.directory(result["clone_id"]))
    return {
        "data_path": _seconds(steps["files"]["started_at"], steps["database"]["finished_at"]),
        "whole_job": whole,
        "share": {name: round(value / whole, 3) for name, value in seconds.items()},
        "files": result["files"],
        "bytes": result["bytes"],
        "rows": result["rows"],
        "rewritten": sum(result["rewritten"].values()),
        "leftovers": result["leftovers"],
    }


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def _login(server: MariaDB) -> list[str]:
    return [f"--defaults-extra-file={_defaults(server)}"]


def _defaults(server: MariaDB) -> Path:
    path = server.directory / "benchmark.cnf"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(
            f"[client]\nsocket={server.socket}\nuser={server.admin_user}\npassword={server.admin_password}\n"
            "max_allowed_packet=256M\n"
        )
    return path


def _sql(server: MariaDB, statement: str) -> None:
    subprocess.run(["mariadb", *_login(server), "-e", statement], check=True)


def _pipe(left: list[str], right: list[str]) -> None:
    with subprocess.Popen(left, stdout=subprocess.PIPE) as source:
        subprocess.run(right, stdin=source.stdout, check=True)
        assert source.stdout is not None
        source.stdout.close()
    assert source.returncode == 0, left


def _until_gone(path: Path, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while path.exists():
        assert time.monotonic() < deadline, f"{path} is still there"
        time.sleep(0.1)


if __name__ == "__main__":
    import json

    print(json.dumps(run()))
