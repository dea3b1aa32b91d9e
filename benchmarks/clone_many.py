"""Six clones at once of a site of about 80 MB against six one after the other, and the processor time one takes.

`speedup_to_one_by_one` is the time of six one by one over that of six at once. `cpu_ratio_to_floor` is the processor
time of all our processes (services, carriers, MariaDB, PHP, web server, NATS) for one of the clones made one by one,
over that of the plain pipes `tar | tar` and `mariadb-dump | sed | mariadb`, our MariaDB's share included. The source's
own processes count on neither side.
"""

from __future__ import annotations

import resource
import secrets
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.clone_transfer import SCRATCH, _login, _sql, _until_gone
from benchmarks.site import build
from siteferry.embedded.cells.busy import seconds
from siteferry.embedded.servers import MariaDB
from tests.e2e.product import Product, product
from tests.sites.farm import SourceFarm
from tests.sites.site import Site

CLONES = 6
ROUNDS = 2
SCALE = 0.22
"""Of the benchmarks' site: about 80 MB, of which 50 are WordPress itself."""
SETTINGS = {"SITEFERRY_CLONER_SLOTS": str(CLONES + 1), "SITEFERRY_MAX_JOBS_PER_SOURCE": str(CLONES)}


def run(scale: float = SCALE, rounds: int = ROUNDS) -> dict[str, Any]:
    """Figures of one run; times are medians of the rounds, in seconds."""
    one_by_one, at_once, cpu_clone, cpu_floor = [], [], [], []
    with SourceFarm() as farm, product(environment=SETTINGS) as siteferry:
        built = build(farm, scale=scale)
        site = built.site
        _remove(siteferry, siteferry.clone(site, timeout=300))  # the first compiles PHP and warms caches
        for _ in range(rounds):
            cpu_floor.append(floor(site, siteferry))
            before, started = used(siteferry), time.monotonic()
            jobs = [siteferry.clone(site, timeout=300) for _ in range(CLONES)]
            one_by_one.append(time.monotonic() - started)
            cpu_clone.append((used(siteferry) - before) / CLONES)
            _remove(siteferry, *jobs)
            started = time.monotonic()
            ids = [siteferry.submit(site) for _ in range(CLONES)]
            jobs = [siteferry.wait(job_id, timeout=600) for job_id in ids]
            at_once.append(time.monotonic() - started)
            assert {job["status"] for job in jobs} == {"completed"}, jobs
            _remove(siteferry, *jobs)
    return {
        "benchmark": "clone-many",
        "clones": CLONES,
        "bytes": built.bytes,
        "rows": built.rows,
        "one_by_one_s": round(statistics.median(one_by_one), 2),
        "at_once_s": round(statistics.median(at_once), 2),
        "speedup_to_one_by_one": round(statistics.median(one_by_one) / statistics.median(at_once), 2),
        "cpu_s_per_clone": round(statistics.median(cpu_clone), 2),
        "cpu_s_of_floor": round(statistics.median(cpu_floor), 2),
        "cpu_ratio_to_floor": round(statistics.median(cpu_clone) / statistics.median(cpu_floor), 2),
    }


def floor(site: Site, siteferry: Product) -> float:
    """Processor seconds of the plain pipes, and of our MariaDB while it loads what they bring."""
    target = siteferry.state / "clones" / f"{SCRATCH}-{secrets.token_hex(8)}"
    target.mkdir()
    theirs, ours = site.farm.database, MariaDB(siteferry.state / "mariadb")
    address = f"s#{site.url}#http://clone.localhost#g"
    server = siteferry.pid("mariadb")
    before = _children() + seconds(server)
    _pipe(["tar", "-C", str(site.docroot), "-cf", "-", "."], ["tar", "-C", str(target), "-xf", "-"])
    _sql(ours, f"CREATE DATABASE {SCRATCH}")
    _pipe(["mariadb-dump", *_login(theirs), site.database], ["sed", address], ["mariadb", *_login(ours), SCRATCH])
    taken = _children() + seconds(server) - before
    _sql(ours, f"DROP DATABASE {SCRATCH}")
    shutil.rmtree(target)
    return taken


def used(siteferry: Product) -> float:
    """Processor seconds so far of everything below `siteferry up`, what has ended included."""
    assert siteferry._process is not None
    family, known = {siteferry._process.pid}, _parents()
    while more := {pid for pid, parent in known.items() if parent in family} - family:
        family |= more
    return sum(seconds(pid) for pid in family)


def _parents() -> dict[int, int]:
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and (fields := _stat(int(process.name))):
            found[int(process.name)] = int(fields[1])
    return found


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _pipe(*commands: list[str]) -> None:
    running: list[subprocess.Popen[bytes]] = []
    for number, command in enumerate(commands):
        source = running[-1].stdout if running else None
        last = number == len(commands) - 1
        running.append(subprocess.Popen(command, stdin=source, stdout=None if last else subprocess.PIPE))
        if source is not None:
            source.close()
    for process, command in zip(running, commands, strict=True):
        assert process.wait() == 0, command


def _remove(siteferry: Product, *jobs: dict[str, Any]) -> None:
    for job in jobs:
        clone_id = job["result"]["clone_id"]
        assert siteferry.http.delete(f"/clones/{clone_id}").status_code == 202
        _until_gone(siteferry.directory(clone_id))


if __name__ == "__main__":
    import json

    print(json.dumps(run()))
