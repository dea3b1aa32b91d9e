"""Tables and files that few sites have: each a way in which a copy may differ without a word."""

from __future__ import annotations

import os

from tests.sites.core import give, give_up_to
from tests.sites.nasty.files import _place, _relative
from tests.sites.site import Site

COLUMNS = 1000


def rare_tables(site: Site) -> list[str]:
    """Versioned tables, other engines, sequences, ties in a circle, and what is seldom in a column. Their names."""
    before = set(site.tables())
    site.script(*_versioned(site), *_engines(site), *_ties(site), *_columns(site), *_keys(site), *_charsets(site))
    return sorted(set(site.tables()) - before)


def _versioned(site: Site) -> list[str]:
    home = site.home
    return [
        "CREATE TABLE `{p}versioned` (id INT PRIMARY KEY, v VARCHAR(200)) WITH SYSTEM VERSIONING",
        f"INSERT INTO `{{p}}versioned` VALUES (1, '{home}/one'), (2, '{home}/two'), (3, 'gone')",
        f"UPDATE `{{p}}versioned` SET v='{home}/later' WHERE id=1",
        "DELETE FROM `{p}versioned` WHERE id=3",
        "CREATE TABLE `{p}periods` (id INT, v VARCHAR(200), since TIMESTAMP(6) GENERATED ALWAYS AS ROW START INVISIBLE,"
        " till TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME (since, till), "
        "PRIMARY KEY (id)) WITH SYSTEM VERSIONING",
        f"INSERT INTO `{{p}}periods` (id, v) VALUES (1, '{home}/p')",
        "CREATE TABLE `{p}rented` (id INT PRIMARY KEY, a DATE, b DATE, PERIOD FOR rent (a, b), v VARCHAR(200))",
        f"INSERT INTO `{{p}}rented` VALUES (1, '2024-01-01', '2024-02-01', '{home}/r')",
    ]


def _engines(site: Site) -> list[str]:
    home = site.home
    return [
        "CREATE TABLE `{p}csv` (a INT NOT NULL, b VARCHAR(200) NOT NULL) ENGINE=CSV",
        f"INSERT INTO `{{p}}csv` VALUES (1, '{home}/csv'), (2, 'say \"x\", y'), (2, '')",
        "CREATE TABLE `{p}memory` (id INT PRIMARY KEY, v VARCHAR(200)) ENGINE=MEMORY",
        f"INSERT INTO `{{p}}memory` VALUES (1, '{home}/memory'), (2, 'x ')",
        "CREATE TABLE `{p}merge1` (id INT, v VARCHAR(200)) ENGINE=MyISAM",
        "CREATE TABLE `{p}merge2` (id INT, v VARCHAR(200)) ENGINE=MyISAM",
        f"INSERT INTO `{{p}}merge1` VALUES (1, '{home}/merge')",
        f"INSERT INTO `{{p}}merge2` VALUES (2, '{home}/merge')",
        "CREATE TABLE `{p}merged` (id INT, v VARCHAR(200)) ENGINE=MERGE UNION=(`{p}merge1`, `{p}merge2`)",
        "CREATE SEQUENCE `{p}numbers` START WITH 500",
        "CREATE TABLE `{p}numbered` (id INT PRIMARY KEY DEFAULT NEXTVAL(`{p}numbers`), v VARCHAR(200))",
        f"INSERT INTO `{{p}}numbered` (v) VALUES ('{home}/n'), ('x')",
        *_archive(site),
    ]


def _archive(site: Site) -> list[str]:
    if not site.sql("SELECT 1 FROM information_schema.engines WHERE engine='ARCHIVE' AND support IN ('YES','DEFAULT')"):
        return []
    rows = f"INSERT INTO `{{p}}archive` (v) VALUES ('{site.home}/archive'), ('x')"
    return ["CREATE TABLE `{p}archive` (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT) ENGINE=ARCHIVE", rows]


def _ties(site: Site) -> list[str]:
    home = site.home
    return [
        "CREATE TABLE `{p}hen` (id INT PRIMARY KEY, egg INT, v VARCHAR(200))",
        "CREATE TABLE `{p}egg` (id INT PRIMARY KEY, hen INT, CONSTRAINT `{p}laid` FOREIGN KEY (hen) "
        "REFERENCES `{p}hen` (id))",
        f"INSERT INTO `{{p}}hen` VALUES (1, NULL, '{home}/hen'), (2, NULL, '')",
        "INSERT INTO `{p}egg` VALUES (10, 1), (20, 2)",
        "UPDATE `{p}hen` SET egg=id*10",
        "ALTER TABLE `{p}hen` ADD CONSTRAINT `{p}hatched` FOREIGN KEY (egg) REFERENCES `{p}egg` (id)",
        "CREATE TABLE `{p}tree` (id INT PRIMARY KEY, above INT, v VARCHAR(200), CONSTRAINT `{p}above` "
        "FOREIGN KEY (above) REFERENCES `{p}tree` (id) ON DELETE SET NULL)",
        f"INSERT INTO `{{p}}tree` VALUES (9, NULL, '{home}/t'), (1, 9, 'x')",
        "UPDATE `{p}tree` SET above=1 WHERE id=9",
    ]


def _columns(site: Site) -> list[str]:
    home = site.home
    many = ", ".join(f"c{n} {'TEXT' if n % 50 == 49 else 'SMALLINT'}" for n in range(COLUMNS - 1))
    return [
        "CREATE TABLE `{p}hidden` (id INT PRIMARY KEY, v VARCHAR(200), secret VARCHAR(200) INVISIBLE DEFAULT 'dark')",
        f"INSERT INTO `{{p}}hidden` (id, v, secret) VALUES (1, '{home}/v', '{home}/s'), (2, 'x', NULL)",
        f"CREATE TABLE `{{p}}broad` (id INT PRIMARY KEY, {many})",
        f"INSERT INTO `{{p}}broad` (id, c0, c49, c998) VALUES (1, 7, '{home}/49', 9), (2, NULL, '', NULL)",
        "CREATE TABLE `{p}packed` (id INT PRIMARY KEY, v TEXT COMPRESSED, b VARBINARY(300) COMPRESSED)",
        f"INSERT INTO `{{p}}packed` VALUES (1, REPEAT('{home}/c ', 50), x'00FF0A')",
        "CREATE TABLE `{p}moments` (id INT PRIMARY KEY, ts TIMESTAMP(6) NULL, d DATETIME DEFAULT CURRENT_TIMESTAMP "
        "ON UPDATE CURRENT_TIMESTAMP, u VARCHAR(60) DEFAULT UUID())",
        "SET SESSION time_zone='+00:00'",
        "INSERT INTO `{p}moments` VALUES (1, '2024-10-27 00:30:00.000001', '2024-10-27 02:30:00', 'x'), "
        "(2, '2024-10-27 01:30:00', NULL, ''), (3, '2024-03-31 01:00:00', '9999-12-31 23:59:59', NULL), "
        "(4, '1970-01-01 00:00:01', '0000-00-00', ' ')",
        "SET SESSION time_zone=DEFAULT",
        "CREATE TABLE `{p}checked` (id INT PRIMARY KEY, n INT CHECK (n > 0), v VARCHAR(200), "
        f"CONSTRAINT `{{p}}site` CHECK (v LIKE '{home}%'))",
        f"INSERT INTO `{{p}}checked` VALUES (1, 5, '{home}/c')",
        "CREATE TABLE `{p}shapes` (id INT PRIMARY KEY, g GEOMETRY NOT NULL, SPATIAL KEY g (g))",
        "INSERT INTO `{p}shapes` VALUES (1, ST_GeomFromText('POLYGON((0 0,0 9,9 9,0 0))', 4326))",
        "CREATE TABLE `{p}ranged` (id INT, y INT, v VARCHAR(200), PRIMARY KEY (id, y)) PARTITION BY RANGE (y) "
        "(PARTITION old VALUES LESS THAN (2000), PARTITION new VALUES LESS THAN MAXVALUE)",
        f"INSERT INTO `{{p}}ranged` VALUES (1, 1999, '{home}/o'), (1, 2024, '{home}/n')",
        "CREATE TABLE `{p}fixed` (id BINARY(8) PRIMARY KEY, c CHAR(20), raw BINARY(40))",
        "INSERT INTO `{p}fixed` VALUES (x'0100', 'blanks   ', 'x '), (x'02', '', '')",
    ]


def _keys(site: Site) -> list[str]:
    """Blanks, accents and case at the end of keys, in collations that see them and in some that do not."""
    home = site.home
    found = []
    for name, rule, values in (
        ("padded", "utf8mb4_unicode_ci", ("a ", "b  ", "c", " c", "ß", f"{home}/ ")),
        ("unpadded", "utf8mb4_nopad_bin", ("a", "a ", "a  ", "A", "ä", "a\\0", f"{home}/", f"{home}/ ")),
        ("loose", "utf8mb4_general_nopad_ci", ("x", "x ", "y\\n", "z\\t", "")),
        ("exact", "utf8mb4_bin", ("E", "e", "é", "e\u0301", "\\\\", "%", "_")),
        ("turkish", "utf8mb4_turkish_ci", ("I", "i", "İx")),
    ):
        rows = ", ".join(f"('{value}', '{home}/{n}')" for n, value in enumerate(values))
        found += [
            f"CREATE TABLE `{{p}}{name}` (k VARCHAR(120) PRIMARY KEY, v VARCHAR(200)) "
            f"DEFAULT CHARSET=utf8mb4 COLLATE={rule}",
            f"INSERT INTO `{{p}}{name}` VALUES {rows}",
        ]
    return found


def _charsets(site: Site) -> list[str]:
    """The site's address in character sets of more bytes, and in some where a backslash may be half a letter."""
    found = ["SET NAMES utf8mb4"]
    for charset, text in (
        ("ucs2", "ä"), ("utf16", "⛵"), ("utf16le", "⛵"), ("utf32", "⛵"), ("gbk", "運誠"), ("big5", "功許"),
        ("sjis", "表ソ"), ("koi8r", "жук"), ("cp1251", "жук"), ("latin2", "ž"), ("ascii", "x"), ("utf8mb3", "ü"),
    ):  # fmt: skip
        found += [
            f"CREATE TABLE `{{p}}in_{charset}` (id INT PRIMARY KEY, v VARCHAR(120), t TEXT) DEFAULT CHARSET={charset}",
            f"INSERT INTO `{{p}}in_{charset}` VALUES (1, '{site.home}/{text}', '{text} <a href=\"{site.home}\">'), "
            f"(2, '{text}', NULL)",
        ]
    return found


LONGEST = b"n" * 251 + b".txt"


def rare_files(site: Site) -> dict[str, bytes]:
    """A pipe, a socket's like, the longest name, deep folders, modes and holes. Kind -> path."""
    top = _place(site, "rare")
    made = {
        "longest": os.path.join(os.fsencode(top), LONGEST),
        "setuid": os.fsencode(top / "setuid.sh"),
        "readonly": os.fsencode(top / "readonly.txt"),
        "sparse": os.fsencode(top / "sparse.img"),
        "deep": os.path.join(os.fsencode(top), *[b"d" * 100] * 12, b"deep.txt"),
        "dot": os.fsencode(top / ".dotted" / ".file"),
        "hard": os.fsencode(top / "hard-link.txt"),
    }
    for kind, path in made.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(kind.encode() * 20)
    os.truncate(made["sparse"], 8 << 20)
    pipe = os.fsencode(top / "pipe")
    if not os.path.exists(pipe):
        os.mkfifo(pipe)
    os.unlink(made["hard"])
    os.link(made["readonly"], made["hard"])
    give(top)
    give_up_to(top, site.content)
    os.chmod(made["setuid"], 0o4755)
    os.chmod(made["readonly"], 0o444)
    return {kind: _relative(site, path) for kind, path in {**made, "pipe": pipe}.items()}
