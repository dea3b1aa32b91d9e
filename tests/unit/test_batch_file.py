"""Files of clones: every format gives the same, and what is wrong is said with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from siteferry.cli.batch_file import read
from siteferry.cli.client import CliError

SHOP = {"source_url": "https://shop.example.com", "username": "admin", "password": " spaced "}
BLOG = {"source_url": "https://blog.example.com", "pairing_key": "sf1_k", "ttl_minutes": 10080}


def written(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "fleet"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (json.dumps([SHOP, BLOG]), [1, 1]),
        (json.dumps([SHOP, BLOG], indent=2), [2, 7]),
        (json.dumps({"clones": [SHOP, BLOG]}, indent=2), [3, 8]),
        (f"{json.dumps(SHOP)}\n\n{json.dumps(BLOG)}\n", [1, 3]),
        ("\ufeff" + json.dumps(SHOP) + "\r\n" + json.dumps(BLOG), [1, 2]),
        (
            "source_url,username,password,pairing_key,ttl\n"
            "shop.example.com,admin, spaced ,,\n"
            "https://blog.example.com,,,sf1_k,7d\n",
            [2, 3],
        ),
        (
            "Source_URL;Username;Password;Pairing_Key;ttl_minutes\r\n\r\n"
            'shop.example.com;admin;" spaced ";;\r\nhttps://blog.example.com;;;sf1_k;10080',
            [3, 4],
        ),
    ],
)
def test_formats(tmp_path: Path, text: str, lines: list[int]) -> None:
    rows = read(written(tmp_path, text))
    assert rows.clones == [SHOP, BLOG]
    assert rows.lines == lines


def test_one_clone_alone_and_defaults(tmp_path: Path) -> None:
    assert read(written(tmp_path, json.dumps(SHOP))).clones == [SHOP]
    rows = read(written(tmp_path, json.dumps({"defaults": {"priority": "low"}, "clones": [SHOP]})))
    assert (rows.defaults, rows.clones) == ({"priority": "low"}, [SHOP])
    named = json.dumps(
        {"defaults": {"name": "clones", "options": {"exclude_paths": ["a"]}}, "clones": [SHOP]}, indent=1
    )
    assert read(written(tmp_path, named)).lines == [11]


def test_lists_and_quoted_lines_in_csv(tmp_path: Path) -> None:
    text = 'source_url,name,exclude_tables,allow_http\na.example,"two\nlines",a|b,\nb.example,,,x.example\n,,,\n'
    rows = read(written(tmp_path, text))
    assert rows.clones == [
        {"source_url": "https://a.example", "name": "two\nlines", "options": {"exclude_tables": ["a", "b"]}},
        {"source_url": "https://b.example", "options": {"allow_http": ["x.example"]}},
    ]
    assert rows.lines == [2, 4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        ("[]", "no clones"),
        ('[\n{"source_url": "a.example"},\n{"username": "x"}]', "Line 3 has no source_url"),
        ('[\n"a.example"]', "Line 2 is not an object"),
        ("[1,", "Line 1 is not valid JSON"),
        ('{"source_url": "a.example"}\n{"source_url"\n', "Line 2 is not valid JSON"),
        ('{"clones": 1}', "must be a list of clones"),
        ("url,username\na.example,x\n", "Line 1 must name the columns"),
        ("source_url,pasword\na.example,x\n", "pasword is not a column"),
        ("source_url,name,name\n", "name is not a column, or is there twice"),
        ("source_url,username\na.example,x\nb.example\n", "Line 3 has 1 fields, the header has 2"),
        ("source_url,username\n,x\n", "Line 2 has no source_url"),
        ("source_url,ttl\na.example,soon\n", "Line 2 has a wrong ttl"),
        ('source_url,name\na.example,"x\n', "is not valid CSV"),
        ("source_url\n" + "a.example\n" * 1001, "1,001 clones; a batch has at most 1,000"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: Any, said: str) -> None:
    with pytest.raises(CliError) as caught:
        read(written(tmp_path, text))
    assert said in caught.value.message
    assert caught.value.code == 2


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(CliError, match="can not be read"):
        read("/nonexistent/fleet.csv")
