"""Tables that break naive copying."""

from __future__ import annotations

from typing import Any

from tests.sites.site import Site

CORE = frozenset(
    "commentmeta comments links options postmeta posts term_relationships term_taxonomy termmeta terms usermeta "
    "users".split()
)


def hard_tables(site: Site) -> list[str]:
    """All kinds of tables below, each with rows that hold the site's address where it can. Returns their names."""
    site.script(*_keys(site), *_types(site), *_engines(site))
    _raw_bytes(site)
    wanted = (
        "nopk twins latin1 bits generated zero ckeys bigkeys binkeys zeroid myisam aria compressed partitioned "
        "parent child select nulls empty deep"
    ).split()
    names = {site.prefix + name for name in wanted} | {f"{site.prefix}we`ird"}
    missing = names - set(site.tables())
    assert not missing, f"not created: {missing}"
    return sorted(names)


def _keys(site: Site) -> list[str]:
    """Primary keys that are missing, text, huge, binary, or zero."""
    home = site.home
    words = "apple Birch cedar Dogwood elm Fir Grün hazel Ívy juniper Kauri larch maple näher Oak pine".split()
    pairs = ", ".join(
        f"('{lang}', '{word} {n}', '{home}/{lang}/{n}')"
        for lang in ("de", "EN", "fr", "Zh")
        for n, word in enumerate(words * 8)
    )
    return [
        "CREATE TABLE `{p}nopk` (a INT NULL, b VARCHAR(200)) DEFAULT CHARSET=utf8mb4",
        f"INSERT INTO `{{p}}nopk` SELECT seq MOD 500, CONCAT('{home}/row/', seq MOD 700) FROM seq_1_to_5000",
        "CREATE TABLE `{p}twins` (a INT NULL, b TEXT)",
        f"INSERT INTO `{{p}}twins` VALUES (NULL, '{home}'), (NULL, '{home}'), (1, NULL), (1, NULL), (1, '')",
        "CREATE TABLE `{p}ckeys` (lang VARCHAR(8), slug VARCHAR(60), url VARCHAR(200), PRIMARY KEY (lang, slug))"
        " DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci",
        f"INSERT INTO `{{p}}ckeys` VALUES {pairs}",
        "CREATE TABLE `{p}bigkeys` (id BIGINT UNSIGNED PRIMARY KEY, v VARCHAR(100))",
        "INSERT INTO `{p}bigkeys` VALUES (0, 'zero'), (9223372036854775807, 'php max'), "
        "(9223372036854775808, 'past it'), (18446744073709551615, 'the last')",
        "CREATE TABLE `{p}binkeys` (id VARBINARY(16) PRIMARY KEY, v VARCHAR(100))",
        "INSERT INTO `{p}binkeys` VALUES (x'00', 'nul'), (x'27', 'quote'), (x'5C', 'backslash'), (x'0A', 'newline'), "
        "(x'FF00FF', 'high'), (x'', 'nothing'), (x'1A', 'ctrl-z'), (x'0927', 'tab quote')",
        "SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO'",
        "CREATE TABLE `{p}zeroid` (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(100)) AUTO_INCREMENT=1000",
        f"INSERT INTO `{{p}}zeroid` VALUES (0, 'zero'), (-5, 'below'), (7, '{home}/seven')",
        "SET SESSION sql_mode=''",
        "CREATE TABLE `{p}empty` (id INT PRIMARY KEY, v TEXT)",
        "CREATE TABLE `{p}deep` (id INT AUTO_INCREMENT PRIMARY KEY, v MEDIUMTEXT)",
        f"INSERT INTO `{{p}}deep` (v) SELECT CONCAT('<a href=\"{home}/d/', seq, '\">', REPEAT('lorem ', seq MOD 50),"
        " '</a>') FROM seq_1_to_3000",
    ]


def _types(site: Site) -> list[str]:
    home = site.home
    return [
        "CREATE TABLE `{p}bits` (id INT PRIMARY KEY, one BIT(1), eight BIT(8), wide BIT(64), b BLOB, lb LONGBLOB, "
        "f FLOAT, d DOUBLE, n DECIMAL(30,10), e ENUM('a','b''c','d,e'), s SET('x','y','z'), y YEAR, t TIME(3), "
        "dt DATETIME(6), ts TIMESTAMP NULL, j JSON, g POINT, u BIGINT UNSIGNED)",
        "INSERT INTO `{p}bits` VALUES (1, b'1', b'10101010', b'1000000000000000000000000000000000000000000000000000000"
        "000000001', x'00FF0D0A1A5C27', NULL, 0.1, 1e-300, 12345678901234567890.0123456789, 'b''c', 'x,z', 1999, "
        f"'-838:59:59.000', '2024-02-29 23:59:59.999999', '2024-03-31 02:30:00', '{{\"u\":\"{home}/j\"}}', "
        "POINT(1,2), 18446744073709551615)",
        "INSERT INTO `{p}bits` VALUES (2, b'0', b'0', b'0', '', '', -0.0, 1.7976931348623157e308, 0, '', '', 0, 0, "
        "NULL, NULL, NULL, NULL, 0)",
        "CREATE TABLE `{p}generated` (id INT AUTO_INCREMENT PRIMARY KEY, url VARCHAR(200), tag VARCHAR(20), "
        "up VARCHAR(200) AS (UPPER(url)) VIRTUAL, len INT AS (LENGTH(url)) STORED, KEY len (len)) CHARSET=utf8mb4",
        f"INSERT INTO `{{p}}generated` (url, tag) SELECT CONCAT('{home}/g/', seq), seq FROM seq_1_to_200",
        "CREATE TABLE `{p}zero` (id INT PRIMARY KEY, d DATE NOT NULL DEFAULT '0000-00-00', "
        "dt DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00', ts TIMESTAMP NOT NULL DEFAULT '0000-00-00 00:00:00')",
        "INSERT INTO `{p}zero` (id) VALUES (1), (2)",
        "INSERT INTO `{p}zero` VALUES (3, '2024-00-00', '2024-02-00 00:00:00', '2024-01-01 00:00:00')",
        "CREATE TABLE `{p}nulls` (id INT PRIMARY KEY, a VARCHAR(20), b TEXT)",
        "INSERT INTO `{p}nulls` VALUES (1, NULL, ''), (2, 'NULL', '\\\\N'), (3, '\\\\', '\\\\\\\\N'), "
        "(4, '\\t\\n\\r', 'a\\0b\\Zc')",
        "CREATE TABLE `{p}select` (`order` INT PRIMARY KEY, `group` VARCHAR(200), `a b` INT, `ümlaut` TEXT, "
        "`back``tick` TEXT, `per%cent` TEXT, KEY `key` (`group`)) DEFAULT CHARSET=utf8mb4",
        f"INSERT INTO `{{p}}select` VALUES (1, '{home}/kw', 2, '{home}/ü', '{home}/`', '100%')",
        "CREATE TABLE `{p}we``ird` (id INT PRIMARY KEY, v TEXT)",
        f"INSERT INTO `{{p}}we``ird` VALUES (1, '{home}/weird')",
    ]


def _engines(site: Site) -> list[str]:
    home = site.home
    return [
        "CREATE TABLE `{p}myisam` (id INT PRIMARY KEY, v TEXT, FULLTEXT KEY ft (v)) ENGINE=MyISAM DEFAULT CHARSET=utf8",
        f"INSERT INTO `{{p}}myisam` VALUES (1, '{home}/myisam é')",
        "CREATE TABLE `{p}aria` (id INT PRIMARY KEY, v TEXT) ENGINE=Aria",
        f"INSERT INTO `{{p}}aria` VALUES (1, '{home}/aria')",
        "CREATE TABLE `{p}compressed` (id INT PRIMARY KEY, v TEXT) ROW_FORMAT=COMPRESSED "
        "COMMENT='it''s; \"compressed\"'",
        f"INSERT INTO `{{p}}compressed` VALUES (1, '{home}/compressed')",
        "CREATE TABLE `{p}partitioned` (id INT PRIMARY KEY, v TEXT) PARTITION BY HASH (id) PARTITIONS 3",
        f"INSERT INTO `{{p}}partitioned` SELECT seq, '{home}/part' FROM seq_1_to_30",
        "CREATE TABLE `{p}parent` (id INT PRIMARY KEY, v VARCHAR(100))",
        "CREATE TABLE `{p}child` (id INT PRIMARY KEY, parent INT NOT NULL, "
        "CONSTRAINT `{p}belongs` FOREIGN KEY (parent) REFERENCES `{p}parent` (id) ON DELETE CASCADE)",
        f"INSERT INTO `{{p}}parent` VALUES (1, '{home}/parent')",
        "INSERT INTO `{p}child` VALUES (10, 1), (11, 1)",
        "CREATE TABLE `{p}latin1` (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100), body TEXT) CHARSET=latin1",
    ]


def _raw_bytes(site: Site) -> None:
    """Bytes no client character set would let through: UTF-8 in latin1 columns, every byte there is in a blob."""
    every = bytes(range(256))
    home = site.home.encode()
    rows: list[tuple[Any, ...]] = [
        ("Müller – Ærø ⛵".encode(), home + " schön".encode()),
        (b"caf\xe9 (real latin1)", b"plain " + home),
        (b"\x80\x81\x9f", every[1:]),
    ]
    with site.connect(charset="binary") as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode=''")
        for row in rows:
            cursor.execute(f"INSERT INTO `{site.prefix}latin1` (name, body) VALUES (_binary %s, _binary %s)", row)
        cursor.execute(
            f"INSERT INTO `{site.prefix}bits` (id, b, lb) VALUES (3, _binary %s, _binary %s)",
            (every, every * 4096 + home + every),
        )
        connection.commit()


def views(site: Site) -> list[str]:
    """A view of posts, and a view of that view whose name sorts before it."""
    site.script(
        "CREATE VIEW `{p}view_posts` AS SELECT ID, post_title FROM `{p}posts` WHERE post_status='publish'",
        "CREATE VIEW `{p}a_view` AS SELECT COUNT(*) AS n FROM `{p}view_posts`",
    )
    return [f"{site.prefix}a_view", f"{site.prefix}view_posts"]


def triggers(site: Site) -> str:
    """A table whose triggers change what is inserted and log it elsewhere: loading rows with them active shows.

    Returns the table's name; `<name>_log` must keep its one row per row.
    """
    site.script(
        "CREATE TABLE `{p}triggered` (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(200))",
        "CREATE TABLE `{p}triggered_log` (id INT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(200))",
        "CREATE TRIGGER `{p}shout` BEFORE INSERT ON `{p}triggered` FOR EACH ROW SET NEW.v = CONCAT(NEW.v, '!')",
        "CREATE TRIGGER `{p}note` AFTER INSERT ON `{p}triggered` FOR EACH ROW "
        "INSERT INTO `{p}triggered_log` (note) VALUES (NEW.v)",
        f"INSERT INTO `{{p}}triggered` (v) VALUES ('{site.home}/one'), ('{site.home}/two')",
    )
    return f"{site.prefix}triggered"


def wide_charsets(site: Site) -> list[str]:
    """Tables in utf16 and ucs2: two bytes a character, whatever the connection says."""
    site.script(
        "CREATE TABLE `{p}utf16` (id INT PRIMARY KEY, v VARCHAR(200)) DEFAULT CHARSET=utf16",
        "INSERT INTO `{p}utf16` VALUES (1, 'Grüße ⛵'), (2, 'plain')",
        "CREATE TABLE `{p}ucs2` (v VARCHAR(40) PRIMARY KEY) DEFAULT CHARSET=ucs2",
        "INSERT INTO `{p}ucs2` VALUES ('ä'), ('b')",
    )
    return [f"{site.prefix}utf16", f"{site.prefix}ucs2"]


def foreign_tables(site: Site) -> list[str]:
    """Tables of other installs in the same database, with prefixes that begin like ours. They must not be taken."""
    stem = site.prefix.rstrip("_")
    names = [f"{stem}x_options", f"{stem}x_posts", f"zz{site.prefix}options", "unrelated"]
    for name in names:
        site.script(
            f"CREATE TABLE `{name}` (option_id INT PRIMARY KEY, option_name VARCHAR(100), option_value TEXT)",
            f"INSERT INTO `{name}` VALUES (1, 'siteurl', 'http://other.example.com')",
        )
    return names


def sibling_install(site: Site) -> list[str]:
    """A second WordPress in the same database whose prefix is ours plus `2_`: its tables look like ours, and are not.

    Told apart by having its own options and users on a site that is no network.
    """
    core = [name for name in site.tables() if name.removeprefix(site.prefix) in CORE]
    names = [f"{site.prefix}2_{name.removeprefix(site.prefix)}" for name in core]
    for old, new in zip(core, names, strict=True):
        site.script(f"CREATE TABLE `{new}` LIKE `{old}`", f"INSERT INTO `{new}` SELECT * FROM `{old}`")
    site.script(
        "UPDATE `{p}2_options` SET option_value='http://other.example.com' WHERE option_name IN ('siteurl', 'home')",
        "UPDATE `{p}2_options` SET option_name='{p}2_user_roles' WHERE option_name='{p}user_roles'",
    )
    return names


def big_values(site: Site, size: int = 40 << 20) -> dict[str, int]:
    """One option and one post of `size` bytes, the site's address at their start, middle and end.

    Returns {"option": option_id, "post": post ID}.
    """
    # MariaDB makes the text itself, 64 bytes that do not repeat within a page's reach of each other.
    filler = f"REPEAT(CONCAT(MD5('a'), MD5('b')), {size // 2 // 64})"
    text = f"CONCAT('{site.home}/start ', {filler}, ' {site.home}/middle ', {filler}, ' {site.home}/end')"
    site.script(
        "INSERT INTO `{p}options` (option_name, option_value, autoload) VALUES ('nasty_big', " + text + ", 'no')",
        "INSERT INTO `{p}posts` (post_title, post_name, post_status, post_type, post_excerpt, to_ping, pinged, "
        "post_content_filtered, post_date, post_date_gmt, post_content) VALUES ('Big', 'nasty-big', 'private', 'post', "
        "'', '', '', '', '2024-05-01 10:00:00', '2024-05-01 10:00:00', " + text + ")",
    )
    option = site.sql("SELECT option_id, LENGTH(option_value) FROM {p}options WHERE option_name='nasty_big'")[0]
    post = site.sql("SELECT ID, LENGTH(post_content) FROM {p}posts WHERE post_name='nasty-big'")[0]
    assert min(option[1], post[1]) >= size - 64, "the server cut the big values"
    return {"option": option[0], "post": post[0]}


def full_columns(site: Site) -> list[str]:
    """Values at the limit of their columns that name the site: a longer address does not fit any more.

    Core's `comment_author_url` (200 characters), and a plugin's table with every type that has a limit. Returns the
    tables' names.
    """
    home = site.home
    url = f"RPAD('{home}/', 200, 'x')"
    site.script(
        "INSERT INTO `{p}comments` (comment_post_ID, comment_author, comment_author_url, comment_content) VALUES "
        f"(1, 'Full', {url}, 'At the limit {home}/here'), (1, 'Room', '{home}/room', 'Room')",
        "CREATE TABLE `{p}full` (id INT AUTO_INCREMENT PRIMARY KEY, link VARCHAR(60), code CHAR(60), tiny TINYTEXT, "
        "small VARCHAR(60) CHARACTER SET latin1, old VARCHAR(60) CHARACTER SET utf8, body TEXT, raw VARBINARY(60), "
        f"kind ENUM('{home}/a', 'b'), kinds SET('{home}/a', 'b'), more VARCHAR(200)) DEFAULT CHARSET=utf8mb4",
        "SET NAMES utf8mb4",
        f"INSERT INTO `{{p}}full` VALUES (1, RPAD('{home}/', 60, 'é'), RPAD('{home}/', 60, 'x'), "
        f"RPAD('{home}/', 255, 'x'), RPAD('{home}/', 60, 'x'), RPAD('{home}/', 60, 'é'), RPAD('{home}/', 65535, 'x'), "
        f"RPAD('{home}/', 60, 'x'), '{home}/a', '{home}/a,b', '{home}/more')",
        f"INSERT INTO `{{p}}full` VALUES (2, '{home}/é', 'x', '{home}', 'x', '{home}', '{home}', 'x', 'b', 'b', 'x')",
        # with the room it takes, and one character too few
        f"INSERT INTO `{{p}}full` (id, link) SELECT 100 + seq, RPAD('{home}/', seq, 'x') FROM seq_38_to_60",
        "CREATE TABLE `{p}fullheap` (link VARCHAR(60), n INT)",
        f"INSERT INTO `{{p}}fullheap` VALUES (RPAD('{home}/', 60, 'x'), 1), ('{home}/', 2)",
    )
    return [f"{site.prefix}{name}" for name in ("comments", "full", "fullheap")]


def other_types(site: Site) -> list[str]:
    """Types only MariaDB has, as values and as keys. Returns the tables' names."""
    site.script(
        "CREATE TABLE `{p}other` (id INT PRIMARY KEY, u UUID, four INET4, six INET6, v VARCHAR(200))",
        "INSERT INTO `{p}other` VALUES (1, '123e4567-e89b-12d3-a456-426655440000', '10.0.0.1', '::1', "
        f"'{site.home}'), (2, NULL, NULL, NULL, NULL), "
        "(3, '00000000-0000-0000-0000-000000000000', '0.0.0.0', '::', '')",
        "CREATE TABLE `{p}uuids` (u UUID PRIMARY KEY DEFAULT UUID(), v VARCHAR(200))",
        f"INSERT INTO `{{p}}uuids` (v) SELECT CONCAT('{site.home}/', seq) FROM seq_1_to_300",
        "CREATE TABLE `{p}addresses` (a INET6 PRIMARY KEY, b INET4 NOT NULL, UNIQUE KEY b (b))",
        "INSERT INTO `{p}addresses` SELECT CONCAT('fe80::', HEX(seq)), CONCAT('10.0.', seq DIV 256, '.', seq MOD 256)"
        " FROM seq_1_to_300",
    )
    return [f"{site.prefix}{name}" for name in ("other", "uuids", "addresses")]


def address_keys(site: Site) -> list[str]:
    """Keys that hold the site's address, some in both schemes: on a clone they become one. Returns the tables."""
    home, bare = site.home, site.home.partition("://")[2]
    both = f"('https://{bare}/both'), ('{home}/both'), ('{home}/plain'), ('https://{bare}/secure'), ('elsewhere')"
    pairs = f"(1, 'https://{bare}/x'), (2, '{home}/x'), (3, '{home}/y'), (4, NULL), (5, NULL), (6, '{home}/X/')"
    site.script(
        "CREATE TABLE `{p}byurl` (url VARCHAR(180) PRIMARY KEY, hits INT DEFAULT 0) DEFAULT CHARSET=utf8mb4",
        f"INSERT INTO `{{p}}byurl` (url) VALUES {both}",
        "CREATE TABLE `{p}redirects` (id INT PRIMARY KEY, url VARCHAR(180) NULL, UNIQUE KEY url (url(100)))"
        " DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci",
        f"INSERT INTO `{{p}}redirects` VALUES {pairs}",
        "CREATE TABLE `{p}pages` (lang CHAR(2), url VARCHAR(180), n INT, PRIMARY KEY (lang, url)) ENGINE=MyISAM",
        f"INSERT INTO `{{p}}pages` VALUES ('de', 'https://{bare}/', 1), ('de', '{home}/', 2), ('en', '{home}/', 3)",
    )
    return [f"{site.prefix}{name}" for name in ("byurl", "redirects", "pages")]
