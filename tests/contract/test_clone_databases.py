"""What a clone's database user may do, and what the server takes of definitions of other servers; a real MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pymysql
import pytest

from services.cloner.drivers.database import CONNECTIONS
from services.cloner.drivers.host.mariadb import CloneDatabases
from services.cloner.run import CloneRun
from services.cloner.steps.verify import _suspects
from shared.wordpress.rewrite import Rewriter, UrlMapping
from shared.wordpress.transfer.database import Column, Loader, Table
from shared.wordpress.transfer.ddl import uncounted
from shared.wordpress.transfer.errors import DuplicateFound, LocalFileAsked, RowsRefused, TargetRefused
from shared.wordpress.transfer.load import PIPE_NAME, PipeLoad
from siteferry.embedded.servers import MariaDB, running
from tests.integration.house import place
from tests.unit.test_rewrite_compositions import ENCODINGS, SITES, composed
from tests.unit.test_transfer_ddl_model import MYSQL

NAME, PASSWORD = "sf_one", "secret-of-one"


@pytest.fixture(scope="module")
def databases() -> Iterator[CloneDatabases]:
    with place() as directory, running(MariaDB(directory / "mariadb")) as mariadb:
        made = CloneDatabases(mariadb.socket, mariadb.admin_user, mariadb.admin_password_file)
        made.ensure(NAME, PASSWORD)
        made.ensure("sf_two", "of-two")
        yield made


@pytest.fixture
def cursor(databases: CloneDatabases) -> Iterator[Any]:
    with closing(databases.connect(NAME, PASSWORD)) as connection, connection.cursor() as cursor:
        yield cursor
        cursor.execute("SET foreign_key_checks=0")
        cursor.execute("SHOW TABLES")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE `{name.decode()}`")


@pytest.mark.parametrize("site", sorted(SITES))
def test_the_database_finds_addresses_in_every_encoding(databases: CloneDatabases, site: str) -> None:
    texts = [names for size in (0, 1, 2) for names in product(sorted(ENCODINGS), repeat=size)]
    source, other = SITES[site][0], "https://elsewhere.example/caf%C3%A9?a=%2F&amp;b=\\u002d\\u002d"
    rewriter = Rewriter([UrlMapping((source,), SITES[site][1])])
    run = SimpleNamespace(rewriter=rewriter, plan=SimpleNamespace(config=SimpleNamespace(prefix="wp_")))
    with closing(databases.connect(NAME, PASSWORD)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE t (id INT PRIMARY KEY, v MEDIUMTEXT) CHARSET utf8mb4")
        for row, names in enumerate(texts):
            cursor.execute("INSERT INTO t VALUES (%s, %s)", (row, composed(names, f'x "{source}/a" ü'.encode())))
        for row in range(-9, 0):
            cursor.execute("INSERT INTO t VALUES (%s, %s)", (row, f"{row} {other}"))
        number, value = Column("id", "int", False, ""), Column("v", "text", True, "utf8mb4")
        table = Table("t", "InnoDB", "", (number, value), ("id",))
        found = list(_suspects(cast(CloneRun, run), connection, table, [value]))
    assert {row for row, _, text in found if rewriter.leftovers(text)} == {str(number) for number in range(len(texts))}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE EVENT e ON SCHEDULE EVERY 1 SECOND DO SELECT 1",
        "SET GLOBAL event_scheduler=ON",
        "SELECT LOAD_FILE('/etc/hostname') INTO OUTFILE '/tmp/siteferry-out'",
        "LOAD DATA INFILE '/etc/hostname' INTO TABLE t",
        "CREATE DATABASE sfx",
        "CREATE USER x",
        "SET GLOBAL max_connections=1",
        "SHOW GRANTS FOR sf_two@localhost",
        "GRANT ALL ON *.* TO sf_one@localhost",
        "ALTER USER sf_one@localhost WITH MAX_USER_CONNECTIONS 0",
        "INSTALL SONAME 'ha_connect'",
        "CREATE TABLE sf_two.x (a INT)",
        "SELECT * FROM mysql.global_priv",
        "FLUSH TABLES",
        "SET GLOBAL local_infile=OFF",
        "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1')",
        "CREATE FUNCTION sys_exec RETURNS INT SONAME 'udf.so'",
        "SHUTDOWN",
        "CHANGE MASTER TO MASTER_HOST='x'",
    ],
)
def test_what_a_clone_may_not(cursor: Any, statement: str) -> None:
    cursor.execute("CREATE TABLE IF NOT EXISTS t (a TEXT)")
    with pytest.raises(pymysql.MySQLError):
        cursor.execute(statement)


def test_files_of_other_directories_are_not_made(cursor: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for engine in ("InnoDB", "MyISAM", "Aria"):
        cursor.execute(f"CREATE TABLE d_{engine} (a INT) ENGINE={engine} DATA DIRECTORY='{tmp_path}'")
        cursor.execute(f"INSERT INTO d_{engine} VALUES (1)")
    assert list(tmp_path.iterdir()) == []


def test_load_file_reads_nothing(cursor: Any) -> None:
    cursor.execute("SELECT LOAD_FILE('/etc/hostname')")
    assert cursor.fetchone() == (None,)


def test_one_clone_does_not_take_all_connections(databases: CloneDatabases) -> None:
    with ExitStack() as held:
        for _ in range(CONNECTIONS):
            held.enter_context(closing(databases.connect(NAME, PASSWORD)))
        with pytest.raises(pymysql.MySQLError, match="max_user_connections"):
            databases.connect(NAME, PASSWORD)
        other = held.enter_context(closing(databases.connect("sf_two", "of-two")))
        other.cursor().execute("SELECT 1")


def test_statements_of_a_site_end(databases: CloneDatabases) -> None:
    with closing(
        pymysql.connect(unix_socket=str(databases.socket), user=NAME, password=PASSWORD, database=NAME)
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT @@max_statement_time")
        assert 0 < float(cursor.fetchone()[0]) <= 600


def test_a_file_that_the_server_asks_for_is_not_sent(databases: CloneDatabases, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the cloner\n")
    with closing(databases.connect(NAME, PASSWORD)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE stolen (a TEXT)")
        with pytest.raises((pymysql.MySQLError, RuntimeError)):
            cursor.execute(f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE stolen")
    with closing(databases.connect(NAME, PASSWORD)) as connection:
        load = PipeLoad(connection, "stolen", f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE stolen")
        with pytest.raises(LocalFileAsked):
            load.finish()
    with closing(databases.connect(NAME, PASSWORD)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM stolen")
        assert cursor.fetchone() == (0,)
        load = PipeLoad(connection, "stolen", f"LOAD DATA LOCAL INFILE '{PIPE_NAME}' INTO TABLE stolen")
        load.write(b"sent\n", 1)
        load.finish()
        cursor.execute("SELECT a FROM stolen")
        assert cursor.fetchone() == (b"sent",)
        cursor.execute("DROP TABLE stolen")


def a_loader(databases: CloneDatabases, *tables: Table) -> Loader:
    loader = Loader(lambda: databases.connect(NAME, PASSWORD), tables, lambda _table, rows: rows)
    loader.open()
    return loader


def test_definitions_of_mysql_are_made(databases: CloneDatabases, cursor: Any) -> None:
    cursor.execute("CREATE TABLE other (id INT PRIMARY KEY)")
    dialect = databases.dialect()
    model = dialect.model(MYSQL)
    table = Table("shop", "InnoDB", dialect.written(model), (), ("id",))
    with closing(a_loader(databases, table)) as loader:
        loader.create(table)
        assert loader.simplified == {}
    cursor.execute("SHOW CREATE TABLE shop")
    built = cursor.fetchone()[1].decode()
    assert "`hidden` int(11) INVISIBLE DEFAULT 0" in built
    assert "COLLATE=utf8mb4_unicode_520_nopad_ci" in built
    again = dialect.written(dialect.model(built))
    cursor.execute("DROP TABLE shop")
    cursor.execute(again)
    cursor.execute("SHOW CREATE TABLE shop")
    assert cursor.fetchone()[1].decode() == built


@pytest.mark.parametrize(
    ("collation", "values"),
    [
        ("utf8mb4_0900_ai_ci", ("red", "red ")),
        ("utf8mb4_0900_as_cs", ("Abc", "abc", "Äbc", "abc ")),
        ("utf8mb4_ja_0900_as_cs", ("Abc", "abc", "Äbc")),
        ("utf8mb4_sv_0900_ai_ci", ("a", "å")),
        ("utf8mb4_uca1400_as_cs", ("Abc", "abc", "Äbc")),
    ],
)
def test_rows_that_a_collation_tells_apart_stay_apart(
    databases: CloneDatabases, cursor: Any, collation: str, values: tuple[str, ...]
) -> None:
    dialect = databases.dialect()
    create = (
        f"CREATE TABLE `words` (`id` int NOT NULL, `w` varchar(20) COLLATE {collation} DEFAULT NULL,"
        f" PRIMARY KEY (`id`), UNIQUE KEY `w` (`w`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={collation}"
    )
    columns = (Column("id", "int", False), Column("w", "text", False))
    table = Table("words", "InnoDB", dialect.table(create), columns, ("id",))
    rows = "".join(f"{n}\t{value}\n" for n, value in enumerate(values)).encode()
    with closing(a_loader(databases, table)) as loader:
        loader.create(table)
        loader.load(table, [rows])
        loader.commit_position(None)
    cursor.execute("SELECT COUNT(*) FROM words")
    assert cursor.fetchone() == (len(values),)


NEWER = """CREATE TABLE `newer` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `uid` char(36) NOT NULL,
  `raw` binary(16) GENERATED ALWAYS AS (uuid_to_bin(`uid`,1)) STORED,
  `tags` json DEFAULT (json_array()),
  `first` json GENERATED ALWAYS AS (cast(json_extract(`tags`,_utf8mb4'$[0]') as json)) VIRTUAL,
  `born` int GENERATED ALWAYS AS (cast(json_unquote(json_extract(`tags`,_utf8mb4'$[1]')) as year)) VIRTUAL,
  `other` binary(16) DEFAULT (uuid_to_bin(uuid())),
  `plain` varchar(20) DEFAULT NULL /*!80034 ENGINE_ATTRIBUTE='{"x":1}' */,
  PRIMARY KEY (`id`),
  UNIQUE KEY `lowered` ((lower(`plain`))),
  KEY `fx` ((lower(`plain`)) DESC),
  KEY `many` ((cast(`tags` as unsigned array))),
  KEY `both` (`plain`,(upper(`uid`))),
  KEY `by_uid` (`uid` DESC) /*!80000 INVISIBLE */,
  CONSTRAINT `looks` CHECK (regexp_like(`uid`,_utf8mb4'^[0-9a-f-]+$')),
  CONSTRAINT `is` CHECK (is_uuid(`uid`))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci /*!80023 AUTOEXTEND_SIZE=4194304 */"""


def test_what_only_mysql_has_is_left_out_and_its_values_are_loaded(databases: CloneDatabases, cursor: Any) -> None:
    dialect = databases.dialect()
    model = dialect.model(NEWER)
    assert model.plain == {"raw", "first", "born"}
    columns = tuple(
        Column(name, kind, False)
        for name, kind in (("id", "int"), ("uid", "text"), ("raw", "blob"), ("tags", "text"), ("born", "int"))
    )
    table = Table("newer", "InnoDB", dialect.written(model), columns, ("id",))
    with closing(a_loader(databases, table)) as loader:
        loader.create(table)  # as it is: nothing simpler is at hand
        loader.load(table, [b"1\t6ccd780c-baba-1026-9564-5b8c656024db\tabcdefghijklmnop\t[1, 1999]\t1999\n"])
        loader.commit_position(None)
    cursor.execute("SELECT raw, born, plain FROM newer")
    assert cursor.fetchone() == (b"abcdefghijklmnop", 1999, None)
    cursor.execute("SHOW INDEX FROM newer")
    assert {row[2].decode() for row in cursor.fetchall()} == {"PRIMARY", "by_uid"}
    told = " ".join(dialect.left_out)
    named = ("lowered", "fx", "many", "both", "uuid_to_bin", "json", "year", "regexp_like", "is_uuid")
    assert [word for word in named if word not in told.lower()] == []


def test_a_server_is_asked_which_functions_it_has(databases: CloneDatabases) -> None:
    known = set(databases.dialect().functions)
    assert {"lower", "left", "if", "extract", "json_extract", "uuid", "interval", "timestampdiff"} <= known
    assert not known & {"uuid_to_bin", "regexp_like"}


def test_a_value_that_is_there_twice_is_named(databases: CloneDatabases, cursor: Any) -> None:
    columns = (Column("id", "int", False), Column("w", "text", False))
    create = "CREATE TABLE words (id INT PRIMARY KEY, w VARCHAR(20), UNIQUE KEY w (w)) ENGINE=InnoDB"
    table = Table("words", "InnoDB", create, columns, ("id",))
    with closing(a_loader(databases, table)) as loader:
        loader.create(table)
        with pytest.raises(DuplicateFound):  # the server does not say which
            loader.load(table, [b"1\tred\n2\tblue\n3\tred\n"])
        loader.close()
        loader.careful = True
        loader.open()
        with pytest.raises(RowsRefused, match="'red'") as caught:
            loader.load(table, [b"1\tred\n2\tblue\n3\tred\n"])
    assert "exclude_tables" in caught.value.hint


@pytest.mark.parametrize(
    "partitions",
    ["LIST COLUMNS (u) (PARTITION a VALUES IN ('http://old.test/a'), PARTITION b VALUES IN ('x'))",
     "RANGE COLUMNS (u) (PARTITION a VALUES LESS THAN ('http://old'), PARTITION b VALUES LESS THAN ('http://older'))"],
)  # fmt: skip
def test_rows_that_no_partition_is_for_are_named(databases: CloneDatabases, cursor: Any, partitions: str) -> None:
    columns = (Column("id", "int", False), Column("u", "text", True), Column("n", "text", False))
    create = f"CREATE TABLE parts (id INT, u VARCHAR(99), n VARCHAR(2)) ENGINE=InnoDB PARTITION BY {partitions}"
    table = Table("parts", "InnoDB", create, columns, ())
    with closing(a_loader(databases, table)) as loader:
        loader.create(table)
        with pytest.raises(RowsRefused, match=r"1 of 2 rows of parts: .*partition") as caught:
            loader.load(table, [b"1\thttp://old.test/a\tlong\n2\thttp://zebra.localhost/a\tlong\n"])
    assert "exclude_tables" in caught.value.hint


def test_columns_the_server_makes_are_told_when_they_do_not_fit(databases: CloneDatabases, cursor: Any) -> None:
    columns = (Column("id", "int", False), Column("u", "text", True), Column("short", "text", True))
    create = (
        "CREATE TABLE made (id INT PRIMARY KEY, u VARCHAR(99), short VARCHAR(2),"
        " g VARCHAR(12) AS (CONCAT(u, '/x')) STORED, v VARCHAR(12) AS (CONCAT(u, '/x')) VIRTUAL, KEY g (g))"
    )
    table = Table("made", "InnoDB", create, columns, ("id",))
    with closing(a_loader(databases, table)) as loader:
        loader.create(table)
        loader.load(table, [b"1\thttp://a\tx\n2\thttp://clone-1.localhost\tlong\n"])
        told = loader.made_otherwise()
        loader.commit_position(None)
    assert "made.g: 1 row" in told
    assert not any(name.startswith("made.short") for name in told), "what was sent is proved row by row"
    cursor.execute("SELECT g FROM made ORDER BY id")
    assert cursor.fetchall() == ((b"http://a/x",), (b"http://clone",))


def test_what_the_server_refuses_is_made_simpler_or_told(databases: CloneDatabases, cursor: Any) -> None:
    simpler = ("CREATE TABLE odd (id INT PRIMARY KEY)",)
    table = Table(
        "odd", "InnoDB", "CREATE TABLE odd (id INT PRIMARY KEY, KEY k (nothing))", (), ("id",), simpler=simpler
    )
    bad = Table("bad", "InnoDB", "CREATE TABLE bad (id STRANGE)", (), ())
    with closing(a_loader(databases, table, bad)) as loader:
        loader.create(table)
        assert "nothing" in loader.simplified["odd"]
        with pytest.raises(TargetRefused, match="table bad"):
            loader.create(bad)


def test_a_table_is_counted_once_it_is_full(databases: CloneDatabases, cursor: Any) -> None:
    create = (
        "CREATE TABLE `full` (`id` int(11) NOT NULL AUTO_INCREMENT, `w` varchar(20) DEFAULT NULL, PRIMARY KEY (`id`),"
        " KEY `w` (`w`)) ENGINE=InnoDB AUTO_INCREMENT=9000 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci"
    )
    dialect = databases.dialect()
    model, is_uncounted = uncounted(dialect.model(create), 2000)
    columns = (Column("id", "int", False), Column("w", "text", False))
    table = Table("full", "InnoDB", dialect.written(model), columns, ("id",), uncounted=is_uncounted)
    rows = "".join(f"{n}\tword {n % 50}\n" for n in range(1, 2001)).encode()
    with closing(a_loader(databases, table)) as loader:
        loader.create(table)
        loader.load(table, [rows])
        loader.commit_position(None, done=True)
        cursor.execute("SHOW CREATE TABLE full")
        assert "STATS_AUTO_RECALC=0" in cursor.fetchone()[1].decode()
        loader.count()
        loader.count()  # another attempt changes nothing
    cursor.execute("SHOW CREATE TABLE full")
    assert " ".join(cursor.fetchone()[1].decode().split()) == create.replace("(`id` int", "( `id` int").replace(
        "`w`)) ENGINE", "`w`) ) ENGINE"
    )
    cursor.execute("SHOW INDEX FROM full WHERE Key_name='w'")
    assert 40 <= cursor.fetchone()[6] <= 200  # an estimate of 50; that of the empty table is 2000 or nothing
    cursor.execute("SELECT COUNT(*) FROM full")
    assert cursor.fetchone() == (2000,)


def test_empty_tables_and_those_with_a_wish_of_their_own_are_made_as_they_are(databases: CloneDatabases) -> None:
    dialect = databases.dialect()
    for options, rows in (("", 0), ("STATS_AUTO_RECALC=1", 5000), ("STATS_AUTO_RECALC=0", 5000)):
        model = dialect.model(f"CREATE TABLE `t` (`id` int NOT NULL) ENGINE=InnoDB {options}")
        assert uncounted(model, rows) == (model, False)
    # of few rows it would be counted, in vain, for as long as a large one beside it is filled
    assert uncounted(dialect.model("CREATE TABLE `t` (`id` int NOT NULL) ENGINE=InnoDB"), 1)[1]
    model = dialect.model("CREATE TABLE `t` (`id` int NOT NULL) ENGINE=MyISAM")
    assert uncounted(model, 5000) == (model, False)
