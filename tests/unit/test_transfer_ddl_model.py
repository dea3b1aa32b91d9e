"""Definitions are read into a model and written from it; what is not known is left out and told, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.wordpress.transfer.ddl import Dialect, UnknownDefinition, banded
from shared.wordpress.transfer.ddl.collations import stand_in
from shared.wordpress.transfer.ddl.parse import parse_table, parse_view
from shared.wordpress.transfer.ddl.tokens import tokens
from shared.wordpress.transfer.ddl.write import table_sql, view_sql

KNOWN = {
    "utf8mb4_unicode_ci",
    "utf8mb4_unicode_520_ci",
    "utf8mb4_unicode_520_nopad_ci",
    "utf8mb4_bin",
    "utf8mb4_nopad_bin",
    "utf8mb3_bin",
    "utf8mb3_nopad_bin",
    "utf8mb3_unicode_520_ci",
    "latin1_bin",
}

MYSQL = """CREATE TABLE `shop` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `name` varchar(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_ja_0900_as_cs NOT NULL
    DEFAULT 'it''s \\\\ "so"' COMMENT 'a;b',
  `doc` json DEFAULT NULL,
  `tag` varchar(10) GENERATED ALWAYS AS (json_unquote(json_extract(`doc`,_utf8mb4'$.tag'))) VIRTUAL,
  `slow` int GENERATED ALWAYS AS (sleep(10)) STORED,
  `kind` enum('a','b''c','d,e') DEFAULT 'a',
  `hidden` int DEFAULT '0' /*!80023 INVISIBLE */,
  `made` timestamp(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  `uid` char(36) DEFAULT (uuid()),
  `spot` point NOT NULL /*!80003 SRID 4326 */,
  PRIMARY KEY (`id`),
  UNIQUE KEY `name` (`name`(20) DESC) USING BTREE,
  KEY `fx` ((lower(`name`))),
  FULLTEXT KEY `ft` (`name`) /*!50100 WITH PARSER `ngram` */,
  KEY `off` (`hidden`) /*!80000 INVISIBLE */,
  CONSTRAINT `shop_check` CHECK ((`name` <> _utf8mb4'')),
  CONSTRAINT `later` CHECK ((`hidden` >= 9)) /*!80016 NOT ENFORCED */,
  CONSTRAINT `tie` FOREIGN KEY (`hidden`) REFERENCES `other` (`id`) ON DELETE SET NULL ON UPDATE NO ACTION
) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci STATS_PERSISTENT=1 COMMENT='x'
/*!50100 PARTITION BY RANGE (`id`)
(PARTITION p0 VALUES LESS THAN (10) DATA DIRECTORY = '/etc' ENGINE = InnoDB) */"""


def dialect() -> Dialect:
    return Dialect(KNOWN, {"innodb", "myisam", "aria"})


def test_what_mysql_prints_becomes_what_mariadb_takes() -> None:
    known = dialect()
    made = known.table(MYSQL)
    assert "`name` varchar(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL" in made
    assert "DEFAULT 'it''s \\\\ \"so\"' COMMENT 'a;b'" in made
    assert "`doc` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL CHECK (json_valid(`doc`))" in made
    assert "GENERATED ALWAYS AS (json_unquote(json_extract(`doc`, _utf8mb4 '$.tag'))) VIRTUAL" in made
    assert "`slow` int," in made
    assert "enum('a','b''c','d,e') DEFAULT 'a'" in made
    assert "`hidden` int INVISIBLE DEFAULT '0'" in made
    assert "NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)" in made
    assert "DEFAULT (uuid())" in made
    assert "UNIQUE KEY `name` (`name`(20) DESC) USING BTREE" in made
    assert "FOREIGN KEY (`hidden`) REFERENCES `other` (`id`) ON DELETE SET NULL ON UPDATE NO ACTION" in made
    assert "CONSTRAINT `shop_check` CHECK ((`name` <> _utf8mb4 ''))" in made
    assert made.endswith("COLLATE=utf8mb4_unicode_520_nopad_ci AUTO_INCREMENT=7 STATS_PERSISTENT=1 COMMENT='x'")
    assert not [word for word in ("fx", "sleep", "/etc", "later", "ngram", "SRID", "/*") if word in made]
    told = " ".join(known.left_out)
    assert all(word in told for word in ("fx", "sleep", "partitions", "later", "ngram"))
    assert known.model(MYSQL).plain == {"slow"}


def test_history_unions_and_sequences_are_told() -> None:
    known = dialect()
    versioned = (
        "CREATE TABLE `h` (`a` int(11) NOT NULL DEFAULT nextval(`d`.`s`),"
        " `r` timestamp(6) GENERATED ALWAYS AS ROW START, `e` timestamp(6) GENERATED ALWAYS AS ROW END,"
        " PRIMARY KEY (`a`,`e`),"
        " PERIOD FOR SYSTEM_TIME (`r`, `e`))"
        " ENGINE=InnoDB WITH SYSTEM VERSIONING"
    )
    assert known.table(versioned) == "CREATE TABLE `h` (`a` int(11) NOT NULL, PRIMARY KEY (`a`)) ENGINE=InnoDB"
    merge = "CREATE TABLE `m` (`a` int(11)) ENGINE=MRG_MyISAM INSERT_METHOD=LAST UNION=(`x`,`y`)"
    assert known.table(merge) == "CREATE TABLE `m` (`a` int(11)) ENGINE=InnoDB"
    assert [what.partition(":")[0] for what in known.left_out] == ["h", "h", "m"]


HOSTILE = [
    "CREATE TABLE `a` (`b` int) ENGINE=InnoDB; DROP TABLE `c`",
    "CREATE TABLE `a` (`b` int) AS SELECT 1",
    "CREATE TABLE `a` AS SELECT LOAD_FILE('/etc/passwd')",
    "CREATE TABLE `a` LIKE `mysql`.`user`",
    "CREATE TABLE `a` (`b` strange)",
    "CREATE TABLE `a` (`b` int) -- \n",
    "CREATE TABLE `a` (`b` int COLLATE `x` y)",
    "CREATE TABLE `a` (`b` int CHARACTER SET 'x'';')",
    "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE `a`",
    "CREATE USER `x`",
    "CREATE TABLE `a` (",
    "CREATE TABLE `a` ()",
    "CREATE TABLE `a` (`b` enum(load_file('/x')))",
    "CREATE OR REPLACE TABLE `a` (`b` int)",
    "CREATE TABLE `a` (`b` int /* hidden",
    'CREATE TABLE `a` (`b` varchar(10) DEFAULT "x")',
    "",
    "(" * 100_000,
    "CREATE TABLE `a` (`b` int CHECK (" + "(" * 50_000,
    "`" * 99_999,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(UnknownDefinition):
        dialect().table(text)


@pytest.mark.parametrize(
    "query",
    [
        "select load_file('/etc/passwd') AS `a`",
        "select sleep(100) AS `a`",
        "select 1 AS `a` into outfile '/tmp/x'",
        "select `d`.`f`(1) AS `a`",
        "select @@version AS `a`",
        "select benchmark(1000000000,1) AS `a` from `b`",
        "select get_lock('a',1)",
        "select 1; drop table `a`",
        "select 1 /*!50000 */ union select sys_exec('id')",
        "delete from `a`",
        "select * from `a` procedure analyse()",
        "select `a` from `b` for update",
        "call `x`()",
        "select 1 where (1",
    ],
)
def test_views_that_do_more_than_read_are_refused(query: str) -> None:
    with pytest.raises(UnknownDefinition):
        dialect().view(f"CREATE ALGORITHM=UNDEFINED DEFINER=`a`@`b` SQL SECURITY DEFINER VIEW `v` AS {query}")


@pytest.mark.parametrize(
    "query",
    [
        "select count(0) AS `n`,max(`p`.`ID`) AS `m` from (`wp_posts` `p` left join `wp_x` on(`p`.`ID` = `wp_x`.`ID`))"
        " where `p`.`a` = 'it''s' group by `p`.`b` having count(0) > 1 order by `p`.`b` desc limit 3",
        "select cast(`a`.`b` as char(10) charset utf8mb4) AS `c` from `a` union all select 'x' AS `x`",
        "with `t` as (select 1 AS `a`) select `t`.`a` AS `a` from `t`",
        "select row_number() over ( partition by `a`.`b` order by `a`.`c`) AS `n` from `a`",
        "select group_concat(`a`.`b` order by `a`.`b` ASC separator ',') AS `x` from `a`",
        "select `a`.`b` AS `b` from `a` where `a`.`c` between now() - interval 1 day and now()",
    ],
)
def test_views_that_read_are_taken(query: str) -> None:
    made = dialect().view(f"CREATE ALGORITHM=MERGE DEFINER=`a`@`b` SQL SECURITY DEFINER VIEW `v` AS {query}")
    assert made.startswith("CREATE OR REPLACE SQL SECURITY INVOKER VIEW `v` AS ")
    assert tokens(made.partition(" AS ")[2]) == tokens(query)


@pytest.mark.parametrize(
    ("name", "unique", "found"),
    [
        ("utf8mb4_0900_ai_ci", True, "utf8mb4_unicode_520_nopad_ci"),
        ("utf8mb4_0900_as_ci", False, "utf8mb4_nopad_bin"),
        ("utf8mb4_0900_as_cs", False, "utf8mb4_nopad_bin"),
        ("utf8mb4_0900_bin", False, "utf8mb4_nopad_bin"),
        ("utf8mb4_ja_0900_as_cs_ks", False, "utf8mb4_nopad_bin"),
        ("utf8mb4_sv_0900_ai_ci", False, "utf8mb4_unicode_520_nopad_ci"),
        ("utf8mb4_sv_0900_ai_ci", True, "utf8mb4_nopad_bin"),
        ("utf8mb4_es_trad_0900_ai_ci", True, "utf8mb4_nopad_bin"),
        ("utf8mb4_uca1400_ai_ci", True, "utf8mb4_unicode_520_ci"),
        ("utf8mb4_uca1400_as_cs", False, "utf8mb4_bin"),
        ("utf8mb4_uca1400_as_ci", False, "utf8mb4_bin"),
        ("utf8mb4_uca1400_nopad_ai_ci", False, "utf8mb4_unicode_520_nopad_ci"),
        ("utf8mb4_uca1400_nopad_as_cs", False, "utf8mb4_nopad_bin"),
        ("utf8mb4_uca1400_swedish_ai_ci", True, "utf8mb4_bin"),
        ("utf8mb4_uca1400_swedish_ai_ci", False, "utf8mb4_unicode_520_ci"),
        ("utf8mb3_uca1400_as_cs", False, "utf8mb3_bin"),
        ("utf8mb4_tolerant_cs", False, "utf8mb4_bin"),
        ("latin1_swedish_bin", False, "latin1_bin"),
        ("utf8mb4_bin", False, "utf8mb4_bin"),
    ],
)
def test_a_stand_in_tells_at_least_as_much_apart(name: str, unique: bool, found: str) -> None:
    assert stand_in(name, KNOWN, unique=unique) == found


def test_stand_ins_are_mapped_back_where_the_original_is_known() -> None:
    theirs = {"utf8mb4_0900_ai_ci", "utf8mb4_0900_bin", "utf8mb4_unicode_520_ci", "utf8mb4_bin"}
    assert stand_in("utf8mb4_unicode_520_nopad_ci", theirs) == "utf8mb4_0900_ai_ci"
    assert stand_in("utf8mb4_nopad_bin", theirs) == "utf8mb4_0900_bin"
    assert stand_in("utf8mb4_nopad_bin", {"utf8mb4_bin"}) == "utf8mb4_bin"


WORDS = st.sampled_from(
    "CREATE TABLE VIEW AS select ( ) , . `a` `b` 'x' 1 int varchar text NOT NULL DEFAULT PRIMARY KEY UNIQUE CONSTRAINT "
    "CHECK GENERATED ALWAYS COLLATE utf8mb4_bin ENGINE = InnoDB PARTITION BY COMMENT /*!50100 */ ; @ -1 + lower sleep "
    "FOREIGN REFERENCES ON DELETE CASCADE UNION WITH SYSTEM VERSIONING PERIOD FOR _utf8mb4 b'1' enum INVISIBLE".split()
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=60).map(" ".join)))
def test_any_text_is_read_or_refused(text: str) -> None:
    for start in ("", "CREATE TABLE `a` (`b` int ", "CREATE VIEW `v` AS select "):
        for make in (dialect().table, dialect().view):
            try:
                made = make(start + text)
            except UnknownDefinition:
                continue
            assert ";" not in made.replace("';'", "") or ";" in text
            assert made.startswith(("CREATE TABLE `", "CREATE OR REPLACE SQL SECURITY INVOKER VIEW `"))


NAMES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(NAMES, NAMES, st.text(st.characters(blacklist_categories=("Cs",)), max_size=20))
def test_what_is_written_is_read_again(name: str, column: str, text: str) -> None:
    table = parse_table("CREATE TABLE `a` (`b` varchar(9) DEFAULT 'x' COMMENT 'y', KEY `k` (`b`))")
    table.name = name
    table.columns[0].name = column
    table.columns[0].comment = text
    table.keys = []
    written = table_sql(table)
    again = parse_table(written)
    assert (again.name, again.columns[0].name, again.columns[0].comment) == (name, column, text)
    assert table_sql(again) == written
    view = parse_view(view_sql(parse_view("CREATE VIEW `v` (`x`) AS select 'it''s' AS `x`")))
    assert (view.name, list(view.columns)) == ("v", ["x"])


@pytest.mark.parametrize(
    ("definition", "first"),
    [
        ("`id` bigint(20) unsigned NOT NULL AUTO_INCREMENT, PRIMARY KEY (`id`)) ENGINE=InnoDB AUTO_INCREMENT=42", 1042),
        ("`id` bigint(20) unsigned NOT NULL AUTO_INCREMENT, PRIMARY KEY (`id`)) ENGINE=InnoDB", 1001),
        ("`id` int(11) NOT NULL AUTO_INCREMENT, PRIMARY KEY (`id`)) ENGINE=MyISAM AUTO_INCREMENT=7", 1007),
        ("`id` smallint(6) NOT NULL AUTO_INCREMENT, KEY (`id`)) ENGINE=Aria AUTO_INCREMENT=30767", 31767),
        # no room for the band and as many rows again
        ("`id` smallint(6) NOT NULL AUTO_INCREMENT, KEY (`id`)) ENGINE=Aria AUTO_INCREMENT=30768", None),
        ("`id` smallint(6) unsigned NOT NULL AUTO_INCREMENT, KEY (`id`)) ENGINE=Aria AUTO_INCREMENT=63536", None),
        ("`id` tinyint(4) unsigned NOT NULL AUTO_INCREMENT, PRIMARY KEY (`id`)) ENGINE=InnoDB", None),
        ("`id` bigint(20) unsigned NOT NULL AUTO_INCREMENT, PRIMARY KEY (`id`)) ENGINE=InnoDB"
         " AUTO_INCREMENT=18446744073709551615", None),
        # no number, one that is no integer, one within groups, an engine that would refuse smaller ids
        ("`id` bigint(20) NOT NULL, PRIMARY KEY (`id`)) ENGINE=InnoDB", None),
        ("`id` double NOT NULL AUTO_INCREMENT, PRIMARY KEY (`id`)) ENGINE=InnoDB", None),
        ("`g` int, `id` int NOT NULL AUTO_INCREMENT, PRIMARY KEY (`g`,`id`)) ENGINE=MyISAM AUTO_INCREMENT=5", None),
        ("`id` int(11) NOT NULL AUTO_INCREMENT, PRIMARY KEY (`id`)) ENGINE=MEMORY AUTO_INCREMENT=5", None),
    ],
)  # fmt: skip
def test_new_rows_of_a_clone_begin_far_behind_the_sources(definition: str, first: int | None) -> None:
    known = Dialect(KNOWN, {"innodb", "myisam", "aria", "memory"})
    model = known.model(f"CREATE TABLE `t` ({definition}")
    made, begins = banded(model, 1000)
    assert begins == first
    assert made.options.get("AUTO_INCREMENT") == (model.options.get("AUTO_INCREMENT") if first is None else str(first))
    assert all(f"AUTO_INCREMENT={first}" in known.written(one) for one in (made, *made.simpler()) if first)
    assert banded(model, 0) == (model, None)
