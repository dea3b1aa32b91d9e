"""The connector runs on PHP 7.4: no newer syntax, no newer functions, no parse errors, a small archive."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_php
from tree_sitter import Language, Node, Parser

from shared.wordpress.connector.package import (
    PLUGIN_FILE,
    build_connector_zip,
    connector_source,
    connector_version,
)

FILES = sorted(connector_source().rglob("*.php"))
PARSER = Parser(Language(tree_sitter_php.language_php()))

NEWER_SYNTAX = {
    "enum_declaration": "enum (8.1)",
    "match_expression": "match (8.0)",
    "nullsafe_member_access_expression": "?-> (8.0)",
    "nullsafe_member_call_expression": "?-> (8.0)",
    "attribute_list": "attributes (8.0)",
    "property_promotion_parameter": "constructor promotion (8.0)",
    "union_type": "union types (8.0)",
    "intersection_type": "intersection types (8.1)",
    "disjunctive_normal_form_type": "DNF types (8.2)",
    "readonly_modifier": "readonly (8.1)",
    "variadic_placeholder": "first-class callables (8.1)",
    "property_hook_list": "property hooks (8.4)",
}
NEWER_TYPES = {"mixed", "never", "static", "true", "false", "null"}
NEWER_FUNCTIONS = frozenset(
    """str_contains str_starts_with str_ends_with get_debug_type get_resource_id fdiv preg_last_error_msg array_is_list
    fsync fdatasync array_find array_find_key array_any array_all json_validate mb_str_pad mb_trim mb_ltrim mb_rtrim
    mb_ucfirst mb_lcfirst str_increment str_decrement ini_parse_quantity memory_reset_peak_usage curl_upkeep
    mysqli_execute_query bcdivmod fpow grapheme_str_split""".split()
)
NEWER_METHODS = frozenset({"execute_query", "getShortHash"})
NEEDS_MYSQLND = frozenset({"get_result"})


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def text(node: Node | None) -> str:
    return node.text.decode() if node is not None and node.text is not None else ""


def too_new(code: bytes) -> list[str]:
    """What in this PHP needs more than 7.4."""
    tree = PARSER.parse(code)
    found = ["does not parse"] if tree.root_node.has_error else []
    for node in walk(tree.root_node):
        where = f"line {node.start_point[0] + 1}"
        if node.type in NEWER_SYNTAX:
            found.append(f"{where}: {NEWER_SYNTAX[node.type]}")
        elif node.type == "argument" and node.child_by_field_name("name") is not None:
            found.append(f"{where}: named argument (8.0)")
        elif node.type == "throw_expression" and node.parent is not None and node.parent.type != "expression_statement":
            found.append(f"{where}: throw as an expression (8.0)")
        elif node.type == "catch_clause" and node.child_by_field_name("name") is None:
            found.append(f"{where}: catch without a variable (8.0)")
        elif node.type in ("primitive_type", "named_type") and text(node).lower() in NEWER_TYPES:
            found.append(f"{where}: type {text(node)} (8.0)")
        elif node.type == "function_call_expression" and text(node.child_by_field_name("function")) in NEWER_FUNCTIONS:
            found.append(f"{where}: {text(node.child_by_field_name('function'))}()")
        elif node.type == "member_call_expression" and text(node.child_by_field_name("name")) in NEWER_METHODS:
            found.append(f"{where}: ->{text(node.child_by_field_name('name'))}()")
        elif node.type == "const_declaration" and re.match(r"(final |\w+ )*const +\??\w+ +\w+ *=", text(node)):
            found.append(f"{where}: typed constant (8.3)")
        elif node.type == "," and node.parent is not None and node.parent.type == "formal_parameters":
            if node.next_sibling is not None and node.next_sibling.type == ")":
                found.append(f"{where}: comma after the last parameter (8.0)")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_newer_than_php_7_4(path: Path) -> None:
    assert too_new(path.read_bytes()) == []


@pytest.mark.parametrize(
    "code",
    [
        "enum A { case B; }",
        "$a = match(1) { 1 => 2 };",
        "$a?->b;",
        "$a?->b();",
        "f(name: 1);",
        "#[A] function f() {}",
        "class A { function __construct(private $a) {} }",
        "function f(int|string $a) {}",
        "class A { readonly int $a; }",
        "class A { function f(): static {} }",
        "function f(mixed $a) {}",
        "$a = $b ?? throw new E();",
        "try {} catch (E) {}",
        "function f($a,) {}",
        "$f = strlen(...);",
        "str_contains($a, $b);",
        "class A { const int B = 1; }",
    ],
)
def test_the_check_knows_newer_php(code: str) -> None:
    assert too_new(b"<?php " + code.encode())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_php_itself_finds_no_error(path: Path) -> None:
    php = shutil.which("php")
    assert php, "php-cli is not installed: run scripts/install.sh"
    done = subprocess.run([php, "-l", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_does_anything_when_it_is_fetched(path: Path) -> None:
    code = path.read_text()
    if path.name == "rescue.php":  # made to be fetched: verifies the signature before it loads anything
        assert 0 < code.index("hash_equals(") < code.index("wp-load.php") < code.index("require ")
    else:
        assert path.name == "index.php" or "defined('ABSPATH') || exit;" in code


def test_the_archive_is_small_and_holds_the_key_of_its_job() -> None:
    archive = build_connector_zip(b"\x01" * 32, "clone-0123456789abcdef", 1_900_000_000)
    assert len(archive) < 100_000
    assert archive == build_connector_zip(b"\x01" * 32, "clone-0123456789abcdef", 1_900_000_000)
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        assert PLUGIN_FILE in files.namelist()
        key = files.read("siteferry-connector/key.php").decode()
    assert "01" * 32 in key
    assert "1900000000" in key


def test_the_archive_for_installing_by_hand_has_no_key() -> None:
    with zipfile.ZipFile(io.BytesIO(build_connector_zip())) as files:
        assert not [name for name in files.namelist() if name.endswith("key.php")]


def test_a_job_id_can_not_write_php() -> None:
    with pytest.raises(ValueError, match="job id"):
        build_connector_zip(b"\x01" * 32, "x', system('id'), '", 1)
    with pytest.raises(ValueError, match="bytes"):
        build_connector_zip(b"short", "clone-x", 1)
    with pytest.raises(ValueError, match="end"):
        build_connector_zip(b"\x01" * 32, "clone-x", None)


def test_header_and_constant_state_the_same_version() -> None:
    main = (connector_source() / "siteferry-connector.php").read_text()
    assert f"define('SITEFERRY_CONNECTOR_VERSION', '{connector_version()}');" in main
