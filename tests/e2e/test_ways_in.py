"""Other ways into a source, and what a clone may be allowed."""

from __future__ import annotations

import io
import re
import zipfile

from shared.wordpress.connector.package import PLUGIN_FILE, build_connector_zip
from shared.wordpress.http import site_client
from tests.e2e.product import Product
from tests.e2e.restoring import Pair
from tests.e2e.target import connectors
from tests.e2e.test_fidelity import Copy
from tests.sites.fixtures import MakeSite
from tests.sites.nasty import plugins
from tests.sites.site import Site

DOOR = (
    "<?php add_filter( 'site_url', fn( $url, $path, $scheme ) => 'login_post' === $scheme"
    " ? add_query_arg( 'harbour-door', '1', $url ) : $url, 10, 3 );"
)


def install_by_hand(site: Site) -> str:
    """What a person does with the downloaded zip; the pairing key the plugin's page then shows."""
    with zipfile.ZipFile(io.BytesIO(build_connector_zip())) as archive:
        for name in archive.namelist():
            if not name.endswith("/"):
                site.write(f"wp-content/plugins/{name}", archive.read(name))
    site.php(
        "require_once ABSPATH . 'wp-admin/includes/plugin.php'; activate_plugin($input['data']); return 1;", PLUGIN_FILE
    )
    with site.sign_in() as browser:
        page = browser.get("/wp-admin/tools.php?page=siteferry-connector").text
    found = re.search(r"sf1_[A-Za-z0-9_-]+", page)
    assert found, page[:2000]
    return found[0]


def test_a_connector_installed_by_hand_opens_a_site_with_a_second_factor(
    siteferry: Product, make_site: MakeSite
) -> None:
    site = make_site("paired")
    key = install_by_hand(site)
    site.mu_plugin("two-factor")
    answer = siteferry.http.post("/clone", json={"source_url": site.url, "pairing_key": key})
    assert answer.status_code == 202, answer.text
    job = siteferry.wait(answer.json()["job_id"])
    assert job["status"] == "completed", job["error"]
    assert "login_guarded" in {note["code"] for note in job["result"]["notes"]}
    assert Copy(site, job, siteferry).different_files("wp-content/plugins/siteferry*", "wp-content/mu-plugins*") == []
    assert connectors(site), "who installed it by hand decides when it goes"


def test_a_wrong_pairing_key_is_refused_by_name(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("paired-wrong", content="bare")
    key = install_by_hand(site)
    wrong = key[:10] + ("A" if key[10] != "A" else "B") + key[11:]
    job_id = siteferry.http.post("/clone", json={"source_url": site.url, "pairing_key": wrong}).json()["job_id"]
    job = siteferry.wait(job_id)
    assert job["status"] == "failed"
    assert job["error"]["code"] in {"connector_refused", "bad_pairing_key"}


def test_a_host_on_the_allow_list_can_be_called(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("allowed", content="bare")
    plugins.noisy(site)
    host = site.origin.partition("://")[2].partition(":")[0]
    job = siteferry.clone(site, options={"allow_http": [host]})
    with site_client(allow_private=True) as http:
        for url, reached in ((site.url + "/", True), (f"http://127.0.0.1:{siteferry.port}/livez", False)):
            tried = http.get(job["result"]["clone_url"], params={"noisy": "http", "url": url}).json()
            assert tried["ok"] is reached, tried


def test_a_site_behind_other_doors_is_looked_at_and_cloned(siteferry: Product, make_site: MakeSite) -> None:
    """Its web server asks every visitor for a password, and its login page is hidden."""
    site = make_site("doors", content="bare", basic_auth=("gate", "opens-for-nobody-else-7"), hidden_login=True)
    site.mu_plugin("door", DOOR)
    gate = {"basic_auth": {"username": "gate", "password": "opens-for-nobody-else-7"}}
    asked = {"source_url": site.url, "username": site.username, "password": site.password}
    closed = siteferry.http.post("/preflight", json=asked, timeout=60).json()
    assert closed["error"]["code"] == "basic_auth_required"
    hidden = siteferry.http.post("/preflight", json={**asked, **gate}, timeout=60).json()
    assert hidden["error"]["code"] == "login_hidden"
    doors = {**asked, **gate, "login_url": "/wp-login.php?harbour-door=1"}
    seen = siteferry.http.post("/preflight", json=doors, timeout=60).json()
    assert (seen["ready"], seen["signed_in"]) == (True, True), seen
    job = siteferry.wait(siteferry.http.post("/clone", json=doors).json()["job_id"])
    assert job["status"] == "completed", job["error"]
    assert connectors(site) == []
    story = siteferry.http.get(f"/jobs/{job['job_id']}/story").text
    assert "opens-for-nobody-else-7" not in story

    there = {"target_login_url": doors["login_url"], "target_basic_auth": gate["basic_auth"]}
    pair = Pair(siteferry, site, job)
    assert pair.failed()["code"] == "basic_auth_required"
    pair.on_clone("UPDATE {p}options SET option_value='Behind doors' WHERE option_name='blogname'")
    done = pair.restore(**there)["result"]
    assert site.sql("SELECT option_value FROM {p}options WHERE option_name='blogname'") == [("Behind doors",)]
    body = {"target_username": site.username, "target_password": site.password, **there}
    back = siteferry.http.post(f"/snapshots/{done['snapshot_id']}/rollback", json=body).json()
    assert siteferry.wait(back["job_id"])["status"] == "completed"
    assert connectors(site) == []
