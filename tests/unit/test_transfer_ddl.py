"""Definitions from other servers, made fit for ours."""

from __future__ import annotations

import pytest

from shared.wordpress.transfer.ddl import Dialect, quote, transactional

MARIADB = Dialect(
    {"utf8mb4_unicode_ci", "utf8mb4_unicode_520_ci", "utf8mb4_bin", "latin1_swedish_ci"}, {"innodb", "aria"}
)


def dialect() -> Dialect:
    return Dialect(MARIADB.collations, MARIADB.engines)


def test_what_the_target_knows_stays_as_it_is() -> None:
    create = (
        "CREATE TABLE `a` (`b` text COLLATE utf8mb4_bin) ENGINE=Aria DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci"
    )
    known = dialect()
    assert known.table(create) == create
    assert known.replaced == {}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("utf8mb4_0900_ai_ci", "utf8mb4_unicode_520_ci"),
        ("utf8mb4_de_pb_0900_ai_ci", "utf8mb4_unicode_520_ci"),
        ("utf8mb4_0900_as_cs", "utf8mb4_bin"),
        ("utf8mb4_0900_bin", "utf8mb4_bin"),
        ("utf8mb4_uca1400_ai_ci", "utf8mb4_unicode_520_ci"),
        ("koi8r_strange_ci", "koi8r_general_ci"),
    ],
)
def test_unknown_collations_are_replaced_and_told(theirs: str, ours: str) -> None:
    known = dialect()
    text = f"CREATE TABLE `a` (`b` text COLLATE {theirs} NOT NULL) ENGINE=InnoDB COLLATE={theirs}"
    assert known.table(text) == text.replace(theirs, ours)
    assert known.replaced == {theirs: ours}


def test_unknown_engines_become_innodb() -> None:
    known = dialect()
    assert known.table("CREATE TABLE `a` (`b` int) ENGINE=TokuDB") == "CREATE TABLE `a` (`b` int) ENGINE=InnoDB"
    assert known.replaced == {"TokuDB": "InnoDB"}


def test_mysql_8_storage_options_go() -> None:
    text = "CREATE TABLE `a` (`b` int) /*!50100 TABLESPACE `ts1` */ ENGINE=InnoDB /*!80016 DEFAULT ENCRYPTION='Y' */"
    made = dialect().table(text)
    assert "TABLESPACE" not in made
    assert "ENCRYPTION" not in made
    assert made.startswith("CREATE TABLE `a` (`b` int)")


@pytest.mark.parametrize("definer", ["`root`@`localhost`", "`o``dd`@`%`", "'u'@'h'", "root@localhost"])
def test_views_lose_their_definer(definer: str) -> None:
    view = (
        f"CREATE ALGORITHM=UNDEFINED DEFINER={definer} SQL SECURITY DEFINER VIEW `v` AS select `a`.`b` AS `b` from `a`"
    )
    expected = "CREATE OR REPLACE SQL SECURITY INVOKER VIEW `v` AS select `a`.`b` AS `b` from `a`"
    assert dialect().view(view) == expected


def test_names_are_quoted_whatever_they_hold() -> None:
    assert quote("odd`name; drop") == "`odd``name; drop`"


def test_only_engines_that_roll_back_are_resumed_inside_a_table() -> None:
    assert transactional("InnoDB")
    assert not any(transactional(engine) for engine in ("MyISAM", "Aria", "MEMORY", "", None))
