"""What every driver promises, on a real MariaDB."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pymysql
import pytest

from services.cloner.drivers.host import HostDriver
from services.cloner.drivers.host.mariadb import CloneDatabases
from services.cloner.drivers.port import SiteConfig
from shared.ids import new_id
from siteferry.embedded.servers import MariaDB, running
from tests.integration.house import place

CONFIG = SiteConfig(
    prefix="wp_",
    charset="utf8mb4",
    collate="",
    constants={"WP_POST_REVISIONS": 3, "WPLANG": "it's \\ here"},
    wordpress_path="",
    content_path=None,
    source_host="shop.example",
    quarantined_plugins=("sg-cachepress/sg-cachepress.php",),
)

PRINT_CONSTANTS = """
    eval(explode('require ', substr(file_get_contents($argv[1]), 5))[0]);
    echo WPLANG, '|', DB_NAME, '|', WP_POST_REVISIONS + 1, '|', $table_prefix;
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[HostDriver]:
    with place() as directory, running(MariaDB(directory / "mariadb")) as mariadb:
        databases = CloneDatabases(mariadb.socket, mariadb.admin_user, mariadb.admin_password_file)
        clones = directory / "clones"
        clones.mkdir(mode=0o711)
        yield HostDriver(clones=clones, databases=databases, edge_url="http://localhost:8080", owner=None)


def query(driver: HostDriver, clone_id: str, statement: str) -> tuple[tuple[bytes, ...], ...]:
    connection = driver.place(clone_id).connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return tuple(cursor.fetchall())
    finally:
        connection.close()


def test_ensure_twice_is_ensure_once(driver: HostDriver) -> None:
    clone = new_id("clone")
    driver.ensure(clone)
    query(driver, clone, "CREATE TABLE kept (id INT)")
    driver.ensure(clone)
    assert query(driver, clone, "SHOW TABLES") == ((b"kept",),)
    assert clone in driver.ids()
    driver.destroy(clone)


def test_destroy_leaves_nothing_and_may_be_repeated(driver: HostDriver) -> None:
    clone = new_id("clone")
    driver.ensure(clone)
    driver.destroy(clone)
    driver.destroy(clone)
    assert clone not in driver.ids()
    assert not driver.place(clone).directory.exists()
    assert not [name for name in driver.databases.names() if name.endswith(clone[-16:])]


def test_destroy_removes_a_clone_in_use(driver: HostDriver) -> None:
    clone = new_id("clone")
    driver.ensure(clone)
    connection = driver.place(clone).connect()
    driver.destroy(clone)
    with pytest.raises(pymysql.MySQLError):
        connection.ping(reconnect=False)
    assert clone not in driver.ids()


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


def test_a_clones_user_has_rights_on_its_own_database_only(driver: HostDriver) -> None:
    mine, other = new_id("clone"), new_id("clone")
    driver.ensure(mine)
    driver.ensure(other)
    databases = {row[0] for row in query(driver, mine, "SHOW DATABASES")}
    assert databases == {b"information_schema", driver.place(mine).database.encode()}
    with pytest.raises(pymysql.MySQLError, match="denied"):
        query(driver, mine, f"CREATE TABLE {driver.place(other).database}.x (id INT)")
    # an underscore in a GRANT is a wildcard unless it is escaped
    lookalike = driver.place(mine).database.replace("_", "x", 1)
    with pytest.raises(pymysql.MySQLError, match="denied"):
        query(driver, mine, f"CREATE DATABASE {lookalike}")
    for clone in (mine, other):
        driver.destroy(clone)


def test_generated_configuration_is_valid_php_with_new_salts(driver: HostDriver) -> None:
    clone = new_id("clone")
    driver.ensure(clone)
    target = driver.place(clone)
    target.write_config(CONFIG)
    first = (target.directory / "wp-config.php").read_text()
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
    assert first != (target.directory / "wp-config.php").read_text(), "salts are made anew"
    driver.destroy(clone)


def test_no_place_for_what_is_no_clone_id(driver: HostDriver) -> None:
    for bad in ("", "clone-", "clone-../../etc", "clone-UPPERCASEUPPERCA", "restore"):
        with pytest.raises(ValueError, match="not a clone id"):
            driver.place(bad)
