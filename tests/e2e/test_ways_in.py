"""Other ways into a source, and what a clone may be allowed."""

from __future__ import annotations

import io
import re
import zipfile

from shared.wordpress.connector.package import PLUGIN_FILE, build_connector_zip
from shared.wordpress.http import site_client
from tests.e2e.product import Product
from tests.e2e.target import connectors
from tests.e2e.test_fidelity import Copy
from tests.sites.fixtures import MakeSite
from tests.sites.nasty import plugins
from tests.sites.site import Site


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
