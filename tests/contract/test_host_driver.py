"""What the driver `host` promises beyond what every driver does (test_provisioner.py), on a real MariaDB."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from services.cloner.drivers.host import HostDriver
from shared.ids import new_id
from tests.contract.houses import CONFIG, HostHouse

PRINT_CONSTANTS = """
    eval(explode("require_once '" . dirname($argv[1]) . "/guard/guard.php", substr(file_get_contents($argv[1]), 5))[0]);
    echo WPLANG, '|', DB_NAME, '|', WP_POST_REVISIONS + 1, '|', $table_prefix;
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[HostDriver]:
    with HostHouse.running() as house:
        yield house.driver


@pytest.mark.parametrize("left", ["directory", "database"])
def test_ids_show_halves(driver: HostDriver, left: str) -> None:
    """The sweeper must find what a crash left, whichever half it is."""
    clone = new_id("clone")
    driver.ensure(clone)
    target = driver.place(clone)
    if left == "directory":
        driver.databases.drop(target.database)
    else:
        subprocess.run(["rm", "-rf", str(target.directory)], check=True)
    assert clone in driver.ids()
    driver.destroy(clone)
    assert clone not in driver.ids()


def test_generated_configuration_is_valid_php_with_new_salts(driver: HostDriver) -> None:
    clone = new_id("clone")
    driver.ensure(clone)
    target = driver.place(clone)
    target.write_config(CONFIG)
    first = (target.directory / "guard" / "constants.php").read_text()
    for path in [target.directory / "wp-config.php", *(target.directory / "guard").glob("*.php")]:
        done = subprocess.run(["php", "-l", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    shown = subprocess.run(
        ["php", "-r", PRINT_CONSTANTS, str(target.directory / "wp-config.php")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"it's \\ here|{target.database}|4|wp_"
    target.write_config(CONFIG)
    assert first != (target.directory / "guard" / "constants.php").read_text(), "salts are made anew"
    driver.destroy(clone)


def test_every_clone_has_an_account_of_its_own(driver: HostDriver) -> None:
    first, second = new_id("clone"), new_id("clone")
    driver.ensure(first)
    driver.ensure(second)
    owners = [driver.place(clone).owner for clone in (first, second)]
    if os.geteuid() == 0:
        assert len({owner.uid for owner in owners if owner}) == 2
        driver.ensure(first)
        assert driver.place(first).owner == owners[0]
        site = driver.place(first).document_root.stat()
        assert (site.st_uid, site.st_mode & 0o077) == (owners[0].uid, 0)
    else:
        assert owners == [None, None]
    for clone in (first, second):
        driver.destroy(clone)
