"""What a column holds, and what stays as it was when a longer address does not fit."""

from __future__ import annotations

import pytest

from shared.wordpress.transfer.fitting import Fitting, Kept, column_limit
from shared.wordpress.transfer.load import column_of


@pytest.mark.parametrize(
    ("column", "charset", "value", "holds"),
    [
        ("varchar(4)", "utf8mb4", "éé⛵⛵", True),
        ("varchar(4)", "utf8mb4", "éé⛵⛵x", False),
        ("varchar(4)", "utf8mb3", "ééé", True),
        ("varchar(4)", "latin1", b"caf\xe9", True),
        ("varchar(4)", "latin1", b"caf\xe9s", False),
        ("varchar(2)", "ucs2", "ab".encode("utf-16-be"), True),
        ("varchar(2)", "utf16", "⛵⛵".encode("utf-16-be"), True),
        ("varchar(2)", "utf16", "abc".encode("utf-16-be"), False),
        ("varchar(3)", "sjis", "ああう".encode("shift_jis"), True),
        ("varchar(3)", "utf8mb4", b"\xff\xff\xff\xff", False),
        ("CHAR(3)", "ascii", b"abcd", False),
        ("tinytext", "utf8mb4", b"x" * 255, True),
        ("tinytext", "utf8mb4", "é" * 128, False),
        ("text", "latin1", b"x" * 65_536, False),
        ("varbinary(3)", None, b"abcd", False),
        ("mediumtext", "utf8mb4", b"x" * 70_000, True),
        ("longtext", "utf8mb4", b"x" * 70_000, True),
        ("int(3)", None, b"12345", True),
        ("varchar(2) /*M!100301 COMPRESSED*/", "utf8mb4", b"abc", False),
    ],
)
def test_what_fits(column: str, charset: str | None, value: str | bytes, holds: bool) -> None:
    limit = column_limit(column, charset)
    assert (limit is None or limit.holds(value.encode() if isinstance(value, str) else value)) is holds


def test_only_the_value_that_does_not_fit_stays() -> None:
    limits = [None, column_limit("varchar(6)", "utf8mb4"), column_limit("text", "utf8mb4")]
    fitting, kept = Fitting("t", ["id", "short", "long"], limits, ["id"]), Kept()
    rows = b"1\tabc\tabc\n2\tab\\n\tabc\n3\t\\N\t\\N\n"
    loaded = b"1\tabcdefg\tabcdefg\n2\tabcde\\n\tabcdefg\n3\t\\N\t\\N\n"
    assert fitting.fit(rows, loaded, kept) == b"1\tabc\tabcdefg\n2\tabcde\\n\tabcdefg\n3\t\\N\t\\N\n"
    assert kept.samples() == ["t.short: 1 row (1)"]
    assert fitting.fit(rows, rows, kept) is rows
    again = Kept(kept.facts())
    for _ in range(9):
        fitting.fit(rows, loaded, again)
    assert again.samples() == ["t.short: 10 rows (1, 1, 1, 1, 1, …)"]


@pytest.mark.parametrize(
    ("warning", "column"),
    [
        ("Data truncated for column 'link'", "link"),
        ("Incorrect string value: '\\xE9' for column `db`.`t`.`a b` at row 1", "a b"),
        ("Data too long for column 'it's' at row 7", "it's"),
        ("Duplicate entry '1' for key 'PRIMARY'", None),
    ],
)
def test_the_column_a_warning_names(warning: str, column: str | None) -> None:
    assert column_of(warning) == column


def test_what_would_be_there_twice_stays() -> None:
    fitting = Fitting("t", ["id", "url"], [None, None], ["id"], [(("url", 9),)])
    long, twice = Kept(), Kept()
    rows = b"1\thttps://a\n2\thttp://a\n3\tx\n4\t\\N\n5\thttp://A \n"
    loaded = b"1\thttp://c1\n2\thttp://c1\n3\tx\n4\t\\N\n5\thttp://C1 \n"
    expected = b"1\thttp://c1\n2\thttp://a\n3\tx\n4\t\\N\n5\thttp://A \n"
    assert fitting.fit(rows, loaded, long, twice) == expected
    assert twice.samples() == ["t.url: 2 rows (2, 5)"]
    assert fitting.fit(rows, loaded, long, Kept()) == expected, "the same row again is no second one"
