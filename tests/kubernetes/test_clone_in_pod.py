"""A real clone of a real site in a real Pod: through the API, opened through an Ingress, and gone without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from services.cloner.drivers.kubernetes.driver import KubernetesDriver
from shared.wordpress.http import site_client
from tests.e2e.product import Product, product
from tests.e2e.target import connectors
from tests.integration.house import eventually
from tests.kubernetes.house import ClusterHouse
from tests.sites.compare import Exclusions, Mapping, Tables, compare_files, compare_pages, compare_tables, leftovers
from tests.sites.farm import SourceFarm
from tests.sites.nasty import plugins, values
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

pytestmark = pytest.mark.timeout(900)  # a node may have to be waited for
SKIPPED_FILES = ("wp-config.php", "wp-content/upgrade*", "*.log")
TRANSIENTS = frozenset({"_transient_*", "_site_transient_*", "_wc_session_*"})
GUID = (r"<guid[^>]*>.*?</guid>", r"<link rel='shortlink'[^>]*>")
FREE, LATER = 150, 60
PROBE = """<?php
$dir = dirname(__DIR__);
$tried = array();
$ours = array("$dir/wp-config.php", "$dir/guard/guard.php", "$dir/guard/new.php", '/etc/x', '/opt/siteferry/x');
foreach ($ours as $path) {
    $tried[$path] = @file_put_contents($path, 'mine') !== false;
}
$tried['site'] = @file_put_contents(__DIR__ . '/mine.txt', 'mine') !== false;
$tried['secret'] = @scandir('/run/siteferry/secret') !== false || @scandir('/var/run/secrets') !== false;
$tried['environment'] = (bool) preg_grep('/KUBERNETES|TOKEN|SERVICE/', array_keys(getenv() + $_ENV));
echo json_encode($tried);
"""


@pytest.fixture(scope="module")
def siteferry(cluster: ClusterHouse) -> Iterator[Product]:
    """The product on this machine, with its clones in the cluster."""
    with product(environment=cluster.environment) as running:
        yield running


@pytest.fixture(scope="module")
def driver(cluster: ClusterHouse) -> Iterator[KubernetesDriver]:
    made = cluster.driver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(farm: SourceFarm) -> Site:
    made = farm.create(SiteSpec("to-a-pod"))
    values.hard_values(made)
    made.sql("DELETE FROM {p}options WHERE option_value LIKE 's:999:%%'")  # no program can read it
    plugins.noisy(made)
    (made.docroot / "probe.php").write_text(PROBE)
    return made


@pytest.fixture(scope="module")
def job(siteferry: Product, cluster: ClusterHouse, site: Site) -> dict[str, Any]:
    done = siteferry.wait(siteferry.submit(site), timeout=FREE)
    assert done["status"] == "completed", f"{done}\n{cluster.words()}\n{siteferry.log()[-6000:]}"
    assert connectors(site) == [], "nothing of ours stays on the source"
    return done


def test_rows_files_and_pages_are_equal(
    job: dict[str, Any], cluster: ClusterHouse, driver: KubernetesDriver, site: Site
) -> None:
    clone, url = job["result"]["clone_id"], job["result"]["clone_url"].rstrip("/")
    target = driver.place(clone)
    mapping = Mapping.between(site, url, paths={str(site.docroot): str(target.document_root)})
    tables = Tables(target.connect, target.database, site.prefix)
    known = Exclusions(options=TRANSIENTS, users=frozenset({job["result"]["username"]}))
    assert compare_tables(Tables.of(site), tables, mapping, known) == []
    assert compare_files(site.docroot, cluster.inside(clone) / "site", skip=SKIPPED_FILES) == []
    assert leftovers(tables, site.home) == []
    assert compare_pages(site, url, site.paths()[:15], ignore=GUID) == []


def test_the_sites_php_writes_to_its_own_files_only(job: dict[str, Any]) -> None:
    with site_client(allow_private=True) as http:
        tried = http.get(f"{job['result']['clone_url']}probe.php").json()
    assert {name for name, done in tried.items() if done} == {"site"}


def test_it_is_kept_out_of_search_engines_and_sends_no_mail(job: dict[str, Any], siteferry: Product) -> None:
    url, clone = job["result"]["clone_url"], job["result"]["clone_id"]
    with site_client(allow_private=True) as http:
        for path in ("", "wp-includes/css/dashicons.css", "nothing-here/"):
            assert "noindex" in http.get(f"{url}{path}").headers["x-robots-tag"]
        assert "Disallow: /" in http.get(f"{url}robots.txt").text
        sent = http.get(url, params={"noisy": "mail", "to": "buyer@example.org", "subject": "pod"})
        assert sent.json()["ok"], "the caller is told it went out"

    def captured() -> bool:
        mails = siteferry.http.get(f"/clones/{clone}/mail").json()["mails"]
        return any(mail["subject"] == "Ahoy pod" for mail in mails)

    eventually(captured, timeout=30, what="the mail")


def test_a_login_link_signs_in(job: dict[str, Any], siteferry: Product) -> None:
    clone = job["result"]["clone_id"]
    answer = siteferry.http.post(f"/clones/{clone}/login-link", json={})
    assert answer.status_code in {200, 201}, answer.text
    with site_client(allow_private=True) as http:
        page = http.get(answer.json()["url"], follow_redirects=True)
    assert "wp-admin" in str(page.url)


def test_what_is_allowed_cannot_be_called_and_the_result_says_so(siteferry: Product, site: Site) -> None:
    job = siteferry.clone(site, timeout=FREE, options={"allow_http": ["api.example.org"], "media": "remote"})
    assert {"allow_http_ignored", "media_copied"} <= {note["code"] for note in job["result"]["notes"]}
    assert (job["result"]["media"], job["result"]["media_stayed"]) == ("copy", None)
    siteferry.http.delete(f"/clones/{job['result']['clone_id']}")


def test_a_full_namespace_is_waited_for_and_a_deleted_clone_leaves_nothing(
    job: dict[str, Any], siteferry: Product, cluster: ClusterHouse, site: Site
) -> None:
    first = job["result"]["clone_id"]
    eventually(lambda: len(cluster.kubectl("get", "pods", "-o", "name").split()) == 1, timeout=LATER, what="the end")
    with cluster.quota(1):
        second = siteferry.submit(site)
        eventually(lambda: siteferry.job(second)["reason"] == "quota", timeout=LATER, what="the wait")
        assert connectors(site) == [], "a job that waits has not begun"
        assert cluster.objects(first)
        assert siteferry.http.delete(f"/clones/{first}").status_code == 202
        ended = siteferry.wait(second, timeout=FREE)
        assert (ended["status"], ended["attempt"]) == ("completed", 1), f"{ended}\n{cluster.words()}"
        eventually(lambda: not cluster.objects(first), timeout=LATER, what="the removal")


def test_a_pod_that_is_deleted_in_the_middle_ends_its_job_and_leaves_nothing(
    siteferry: Product, cluster: ClusterHouse, site: Site
) -> None:
    job_id = siteferry.submit(site)
    eventually(lambda: siteferry.job(job_id)["step"] in {"files", "database"}, timeout=FREE, what="copying")
    cluster.kubectl("delete", "pod", job_id, "--grace-period=0", "--force")
    ended = siteferry.wait(job_id, timeout=FREE)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "clone_gone"), ended
    eventually(lambda: not cluster.objects(job_id), timeout=LATER, what="the removal")
    assert connectors(site) == []


def test_the_kubelet_and_a_container_may_die(siteferry: Product, cluster: ClusterHouse, site: Site) -> None:
    """Neither is the site's fault: the job goes on once they are there again."""
    job_id = siteferry.submit(site)
    eventually(lambda: siteferry.job(job_id)["step"] in {"files", "database"}, timeout=FREE, what="copying")
    tasks = cluster.node.containerd.ctr("tasks", "list").stdout.splitlines()
    mine = set(cluster.containers(job_id, "agent"))
    (task,) = [line.split()[0] for line in tasks if line.split()[0] in mine]
    cluster.node.containerd.ctr("tasks", "kill", "--signal", "SIGKILL", task)
    cluster.node.restart(cluster.node.kubelet)
    ended = siteferry.wait(job_id, timeout=FREE)
    assert ended["status"] == "completed", f"{ended}\n{cluster.words()}"
    siteferry.http.delete(f"/clones/{job_id}")
    eventually(lambda: not cluster.objects(job_id), timeout=LATER, what="the removal")
