"""A restore of one changed percent against a full clone of the same site, in one run.

The clone is changed as people change one (rows in its database, uploads on disk), then restored to the site it was made
of; then the restore is rolled back. Times are whole jobs as they tell them; `bytes` are those of files that travel.
"""

from __future__ import annotations

import random
import statistics
from datetime import datetime
from typing import Any

import pymysql

from benchmarks.site import FIRST, SEED, build
from siteferry.embedded.servers import MariaDB
from tests.e2e.product import Product, product
from tests.sites.farm import SourceFarm
from tests.sites.site import Site

SHARE = 0.01
ROUNDS = 3


def run(scale: float = 1.0, rounds: int = ROUNDS) -> dict[str, Any]:
    """Figures of one run: medians of `rounds` rounds of clone, change, restore, roll-back."""
    with SourceFarm() as farm, product(environment={"SITEFERRY_RESTORER_SLOTS": "1"}) as siteferry:
        site = build(farm, scale=scale).site
        figures = [one_round(site, siteferry, number) for number in range(rounds)]
    middle = {name: statistics.median(figure[name] for figure in figures) for name in figures[0]}
    return {
        "benchmark": "restore",
        "time_ratio_to_clone": round(middle["restore_s"] / middle["clone_s"], 3),
        "bytes_ratio_to_clone": round(middle["restore_bytes"] / middle["clone_bytes"], 4),
        "write_unavailable_s": round(middle["write_unavailable_s"], 4),
        "rollback_s": round(middle["rollback_s"], 3),
        "clone_s": round(middle["clone_s"], 2),
        "restore_s": round(middle["restore_s"], 2),
        "rows_written": int(middle["rows"]),
        "files_written": int(middle["files"]),
        "time_ratios": [round(figure["restore_s"] / figure["clone_s"], 3) for figure in figures],
    }


def one_round(site: Site, siteferry: Product, number: int) -> dict[str, float]:
    """Clone, change, restore, go back, and remove the clone."""
    cloned = siteferry.clone(site, timeout=300)
    change(siteferry, cloned["result"]["clone_id"], site.prefix, random.Random(SEED + number))
    restored = _ended(
        siteferry,
        siteferry.http.post(
            "/restore",
            json={
                "clone_id": cloned["result"]["clone_id"],
                "target_url": site.url,
                "target_username": site.username,
                "target_password": site.password,
                "accept_loss": True,
            },
        ),
    )
    result = restored["result"]
    credentials = {"target_username": site.username, "target_password": site.password}
    back = _ended(siteferry, siteferry.http.post(f"/snapshots/{result['snapshot_id']}/rollback", json=credentials))
    rolled_back = next(step for step in back["steps"] if step["name"] == "rollback")
    assert siteferry.http.delete(f"/clones/{cloned['result']['clone_id']}").status_code == 202
    return {
        "clone_s": _seconds(cloned),
        "clone_bytes": cloned["result"]["bytes"],
        "restore_s": _seconds(restored),
        "restore_bytes": result["bytes"],
        "rows": result["rows"],
        "files": result["files"],
        "write_unavailable_s": result["write_unavailable_ms"] / 1000,
        "rollback_s": _seconds(rolled_back),
    }


def change(siteferry: Product, clone_id: str, prefix: str, chance: random.Random) -> None:
    """One percent of the clone's posts, comments and uploads."""
    server = MariaDB(siteferry.state / "mariadb")
    connection = pymysql.connect(
        unix_socket=str(server.socket),
        user=server.admin_user,
        password=server.admin_password,
        database="sf_" + clone_id.removeprefix("clone-"),
    )
    every = round(1 / SHARE)
    chosen = (chance.randrange(every), every)
    with connection, connection.cursor() as cursor:
        for table, key, changed, of in (
            ("posts", "ID", "post_content=CONCAT(post_content, '<p>changed</p>')", f"ID >= {FIRST}"),
            ("comments", "comment_ID", "comment_content='changed'", "comment_ID > 1"),
            ("postmeta", "meta_id", "meta_value='[]'", "meta_key='_elementor_data'"),
        ):
            cursor.execute(f"UPDATE `{prefix}{table}` SET {changed} WHERE {of} AND MOD({key}, %s) = %s", chosen[::-1])
        connection.commit()
    uploads = sorted((siteferry.directory(clone_id) / "site" / "wp-content" / "uploads").rglob("photo-*.jpg"))
    for path in chance.sample(uploads, max(1, int(len(uploads) * SHARE))):
        path.write_bytes(b"\xff\xd8\xff\xe0" + chance.randbytes(path.stat().st_size))


def _ended(siteferry: Product, answer: Any) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    job = siteferry.wait(answer.json()["job_id"], timeout=300)
    assert job["status"] == "completed", job
    return job


def _seconds(record: dict[str, Any]) -> float:
    return (
        datetime.fromisoformat(record["finished_at"]) - datetime.fromisoformat(record["started_at"])
    ).total_seconds()


if __name__ == "__main__":
    import json

    print(json.dumps(run()))
