"""A clone whose pictures and documents stayed on the source shows them all the same, and never harms them there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from shared.wordpress.media import stays
from tests.e2e.product import Product
from tests.e2e.restoring import Pair, files_of, rows_of
from tests.integration.house import eventually
from tests.integration.pictures import PNG
from tests.sites import http
from tests.sites.farm import SourceFarm
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

pytestmark = pytest.mark.timeout(600)
UPLOADS = "wp-content/uploads"
ODD = "2024/05/Alte Größe (neu)/Foto ñ 日本 1.jpg"
NAMES = [*(f"2024/05/pic-{number}.png" for number in range(10)), ODD, "2024/05/Price List.PDF"]
TRAVELS = ["2024/05/style.css", "2024/05/rows.csv", "2024/05/logo.svg"]


def content(name: str) -> bytes:
    return PNG + name.encode()


@pytest.fixture(scope="module")
def site(farm: SourceFarm) -> Iterator[Site]:
    made = farm.create(SiteSpec("gallery"))
    for name in (*NAMES, *TRAVELS):
        made.write(f"{UPLOADS}/{name}", content(name))
    pictures = "".join(f'<img src="{made.home}/{UPLOADS}/{quote(name)}">' for name in [*NAMES[:3], ODD])
    made.sql(
        "UPDATE {p}posts SET post_content=%s WHERE post_status='publish' AND post_type='post' ORDER BY ID LIMIT 1",
        (pictures,),
    )
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def pair(siteferry: Product, site: Site) -> Pair:
    return Pair(siteferry, site, siteferry.clone(site, options={"media": "remote"}))


def get(pair: Pair, path: str, url: str = "") -> httpx2.Response:
    with http.client(url or pair.clone_url) as client:
        return client.get(path, follow_redirects=True)


def picture(pair: Pair, name: str, url: str = "") -> httpx2.Response:
    return get(pair, f"/{UPLOADS}/{quote(name)}", url)


def shown(pair: Pair, name: str) -> bool:
    return picture(pair, name).content == content(name)


def below(root: Path) -> dict[str, int]:
    """Files that stay, with their sizes."""
    found = (path for path in root.rglob("*") if path.is_file() and stays(os.fsencode(path)))
    return {str(path.relative_to(root)): path.stat().st_size for path in found}


def test_pictures_stay_are_counted_and_come_when_they_are_asked_for(pair: Pair, site: Site) -> None:
    result, there = pair.job["result"], below(site.uploads)
    assert set(NAMES) <= set(there)
    assert result["media"] == "remote"
    assert result["media_stayed"] == {"files": len(there), "bytes": sum(there.values())}
    assert below(pair.document_root / UPLOADS) == {}
    for name in TRAVELS:
        assert (pair.document_root / UPLOADS / name).read_bytes() == content(name)
    notes = {note["code"] for note in result["notes"]}
    assert "files_problems" not in notes
    (post,) = site.sql("SELECT MIN(ID) FROM {p}posts WHERE post_type='post' AND post_status='publish'")[0]
    page = get(pair, f"/?p={post}").text
    for name in (NAMES[0], ODD):
        address = f"{pair.clone_url}/{UPLOADS}/{quote(name)}"
        assert address in page
        assert get(pair, address).content == content(name)
        (site.uploads / name).unlink()
        assert get(pair, address).content == content(name), "kept: the source has it no more"
        site.write(f"{UPLOADS}/{name}", content(name))


def test_a_source_without_them_gives_placeholders_and_a_clear_404(pair: Pair, site: Site) -> None:
    away = site.uploads.with_name("away")
    site.uploads.rename(away)
    try:
        answer = picture(pair, NAMES[3])
        assert (answer.status_code, answer.headers["siteferry-media"]) == (200, "placeholder")
        assert answer.headers["content-type"].startswith("image/")
        answer = picture(pair, NAMES[-1])
        assert (answer.status_code, answer.headers["siteferry-media"]) == (404, "missing")
    finally:
        away.rename(site.uploads)
    for name in (NAMES[3], NAMES[-1]):
        eventually(partial(shown, pair, name), timeout=20, what="it comes")
    assert picture(pair, NAMES[-1]).headers["content-type"] == "application/pdf"


def test_a_restore_of_the_untouched_clone_writes_and_deletes_nothing(pair: Pair, site: Site) -> None:
    assert picture(pair, NAMES[4]).content == content(NAMES[4])
    site.write(f"{UPLOADS}/{NAMES[4]}", b"production has another one now")
    rows, files = rows_of(site), files_of(site)
    result = pair.restore(accept_loss=True)["result"]
    assert result["snapshot_id"] is None, "nothing was exchanged"
    folders = result["plan"]["folders"]
    assert [(one["add"], one["change"], one["remove"]) for one in folders] == [(0, 0, 0)] * len(folders)
    assert {table["action"] for table in result["plan"]["tables"]} == {"keep"}
    assert (rows_of(site), files_of(site)) == (rows, files)
    site.write(f"{UPLOADS}/{NAMES[4]}", content(NAMES[4]))


def test_new_uploads_take_no_name_of_those_that_stayed(pair: Pair, site: Site) -> None:
    (post,) = pair.on_clone("SELECT MIN(ID) FROM {p}posts")[0]
    meta = "INSERT INTO {p}postmeta (post_id, meta_key, meta_value) VALUES (%s, '_wp_attached_file', %s)"
    pair.on_clone(meta, post, "2024/05/pic-1.png")
    pair.on_clone(meta, post, "2024/05/large-scaled.png")
    script = pair.document_root / "names.php"
    script.write_text(
        "<?php require 'wp-load.php'; $d = wp_upload_dir(null, false)['basedir'];"
        "foreach (array('pic-1.png', 'large.png', 'pic-1-300x200.png', 'other.png') as $n)"
        " echo wp_unique_filename(\"$d/2024/05\", $n), ' '; echo wp_unique_filename(\"$d/2024/06\", 'pic-1.png');"
    )
    owner = pair.document_root.stat()
    os.chown(script, owner.st_uid, owner.st_gid)
    try:
        assert get(pair, "/names.php").text.split() == [
            *("pic-1-1.png", "large-1.png", "pic-1-300x200-1.png", "other.png", "pic-1.png")
        ]
    finally:
        script.unlink()
        pair.on_clone("DELETE FROM {p}postmeta WHERE meta_key='_wp_attached_file' AND post_id=%s", post)


def test_a_restore_brings_what_is_new_and_overwrites_nothing_the_clone_never_had(pair: Pair, site: Site) -> None:
    uploads = pair.document_root / UPLOADS
    owner = uploads.stat()
    for name in ("2024/06/new one.png", NAMES[2]):
        path = uploads / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"made on the clone")
        for made in (path.parent, path):
            os.chown(made, owner.st_uid, owner.st_gid)
    assert picture(pair, NAMES[2]).content == b"made on the clone"
    (site.uploads / NAMES[5]).unlink()  # production goes on, and the clone's page was never asked for this
    before = files_of(site)
    result = pair.restore(accept_loss=True)["result"]
    after = files_of(site)
    assert {name for name in after if after[name] != before.get(name)} == {b"uploads/2024/06/new one.png"}
    assert set(before) <= set(after)
    (note,) = [note for note in result["notes"] if note["code"] == "media_kept"]
    assert note["samples"] == [NAMES[2]]
    again = pair.restore(accept_loss=True)["result"]
    assert again["snapshot_id"] is None
    (uploads / NAMES[2]).unlink()


def test_a_reset_and_a_fork_keep_it_so(pair: Pair, site: Site) -> None:
    for path, more in (("versions", {"name": "seen"}), ("reset", {"version": "seen"}), ("fork", {})):
        answer = pair.siteferry.http.post(f"/clones/{pair.clone_id}/{path}", json=more)
        assert answer.status_code == 202, answer.text
        job = pair.siteferry.wait(answer.json()["job_id"])
        assert job["status"] == "completed", job
        name, url = {"reset": NAMES[6]}.get(path, NAMES[7]), job["result"]["clone_url"].rstrip("/")
        if path != "versions":
            assert picture(pair, name, url).content == content(name)
    assert job["result"]["media"] == "remote"
    result = pair.restore(accept_loss=True, dry_run=True)["result"]
    folders = result["plan"]["folders"]
    assert [(one["add"], one["change"]) for one in folders] == [(0, 0)] * len(folders)


def test_behind_basic_auth_it_is_refused(siteferry: Product) -> None:
    login = {"username": "a", "password": "b", "basic_auth": {"username": "c", "password": "d"}}
    body = {"source_url": "https://shop.example.com", **login, "options": {"media": "remote"}}
    answer = siteferry.http.post("/clone", json=body)
    assert answer.status_code == 422
    assert "basic_auth" in answer.text
