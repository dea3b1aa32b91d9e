"""The table of hostile inputs: a name, and what the connector's answers become.

Each forgery keeps the answer's first frame (the nonce) and what follows from it. `files_only` makes a copy short: the
site's own files do not travel, only what the attack needs.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.hostile.forged import Answer, Asked, Forge, Piece, said

END = {"cursor": None, "done": True}
DEFLATED, CONTINUES = 1, 2


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text).decode()


# --- small tools


def on(op: str, change: Callable[[Asked, list[Piece]], list[Piece] | Answer]) -> Forge:
    """Change the answers to one operation; the copy's files are cut short for speed."""

    def forge(asked: Asked, pieces: list[Piece]) -> list[Piece] | Answer:
        if asked.op == op:
            return change(asked, pieces)
        if asked.op == "files.stream":
            return [pieces[0], said("E", END)]
        return pieces

    return forge


def stream(*pieces: Piece) -> Forge:
    """These frames are the site's files."""
    return on("files.stream", lambda _asked, real: [real[0], *pieces, said("E", END)])


def rows(*pieces: Piece) -> Forge:
    """These frames are the site's rows."""
    return on("db.stream", lambda _asked, real: [real[0], *pieces, said("E", END)])


def facts(change: Callable[[dict[str, Any]], Any]) -> Forge:
    """The inspection's result, changed in place (or replaced by what `change` returns)."""

    def forge(_asked: Asked, pieces: list[Piece]) -> list[Piece]:
        return [said("J", changed(piece.json, change)) if piece.type == "J" else piece for piece in pieces]

    return on("inspect", forge)


def changed(data: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> Any:
    replaced = change(data)
    return data if replaced is None else replaced


def a_file(path: str | bytes, content: bytes = b"x", **meta: Any) -> list[Piece]:
    head = {"root": "abspath", "path_b64": b64(path), "size": len(content), "mtime": 1, "mode": 0o644, "offset": 0}
    end = {"size": len(content), "changed": False}
    return [said("F", head | meta), Piece("B", content), said("C", end)]


def a_link(path: str | bytes, target: str | bytes) -> Piece:
    return said("L", {"root": "abspath", "path_b64": b64(path), "target_b64": b64(target)})


def a_directory(path: str | bytes, **meta: Any) -> Piece:
    return said("D", {"root": "abspath", "path_b64": b64(path), "mode": 0o755, "mtime": 1} | meta)


def ddl(statement: str, *, kind: str = "table") -> Forge:
    """One of the site's tables (or one view more) is made by this statement."""

    def change(found: dict[str, Any]) -> None:
        victim = next(table for table in found["tables"] if table["name"].endswith("links"))
        if kind == "view":
            found["tables"].append({**victim, "name": victim["name"] + "_v", "kind": "view", "columns": [], "key": []})
            victim = found["tables"][-1]
        text = statement.replace("{name}", victim["name"])
        victim |= {"create": text, "create_b64": b64(text)}

    return facts(change)


def named(name: str, value: Any) -> Forge:
    """One fact of the inspection, by its name (`urls.home`)."""

    def change(found: dict[str, Any]) -> None:
        *way, last = name.split(".")
        place = found
        for step in way:
            place = place[step]
        place[last] = value

    return facts(change)


def root(**values: Any) -> Forge:
    """The first root of the site's files."""
    return facts(lambda found: found["roots"][0].update(values))


def without(name: str) -> Forge:
    """A fact is missing."""
    return facts(lambda found: {key: value for key, value in found.items() if key != name})


def table_fact(**values: Any) -> Forge:
    def change(found: dict[str, Any]) -> None:
        next(table for table in found["tables"] if table["name"].endswith("links")).update(values)

    return facts(change)


def many(name: str, key: str, count: int) -> Forge:
    """The first entry of a list, many times under other names."""

    def change(found: dict[str, Any]) -> None:
        first = found[name][0]
        found[name] = [{**first, key: f"n{number}"} for number in range(count)]

    return facts(change)


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def bomb(size: int) -> bytes:
    """Zeros that a kilobyte unpacks to."""
    packer = zlib.compressobj(9)
    block = b"0" * (1 << 20)
    return b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()


def table_start(asked: Asked) -> Piece:
    first = asked.params["tables"][0]
    columns = [column["name"] for column in first["columns"]]
    return said("T", {"table": first["name"], "columns": columns, "resumed": False})


def in_table(*pieces: Piece) -> Forge:
    """These frames are the rows of the first table."""
    return on("db.stream", lambda asked, real: [real[0], table_start(asked), *pieces])


# --- the table


def table(secret: str) -> Mapping[str, Forge]:
    """Attacks by name. `secret` is the path of a file of ours that must be neither read nor written."""
    found: dict[str, Forge] = {}
    found |= {f"path {name}": stream(*a_file(path)) for name, path in _paths(secret)}
    found |= {f"file {name}": stream(*pieces) for name, pieces in _files()}
    found |= {f"link {name}": stream(*pieces) for name, pieces in _links(secret)}
    found |= {f"ddl {name}": forge for name, forge in _definitions(secret)}
    found |= {f"rows {name}": forge for name, forge in _rows()}
    found |= {f"frames {name}": forge for name, forge in _frames()}
    found |= {f"facts {name}": forge for name, forge in _facts(secret)}
    return found


def _paths(secret: str) -> Iterator[tuple[str, str | bytes]]:
    yield "up", "../escaped"
    yield "up and up", "../" * 30 + secret.lstrip("/")
    yield "absolute", secret
    yield "up in the middle", "wp-content/../../guard/guard.php"
    yield "into the guard", "../guard/config.php"
    yield "to the password", "../.database-password"
    yield "empty", ""
    yield "dot", "."
    yield "dots", ".."
    yield "with NUL", b"a\0b"
    yield "long name", "n" * 4000
    yield "deep", "/".join("d" * 2000)
    yield "very long", "/".join(["x" * 200] * 400)
    yield "wp-config over ours", "../wp-config.php"
    yield "control characters", "a\x1b]0;owned\x07\r\nb"


def _files() -> Iterator[tuple[str, list[Piece]]]:
    yield "root unknown", a_file("a.txt", root="elsewhere")
    yield "root of no kind", a_file("a.txt", root={"a": 1})
    yield "path of no kind", a_file("a.txt", path_b64=7)
    yield "path not base64", a_file("a.txt", path_b64="*** not base64 ***")
    yield "size negative", a_file("a.txt", size=-1)
    yield "size of no kind", a_file("a.txt", size="1; rm")
    yield "offset without beginning", a_file("a.txt", offset=4096)
    yield "offset beyond everything", a_file("a.txt", offset=1 << 62)
    yield "offset negative", a_file("a.txt", offset=-5)
    yield "mode setuid", a_file("a.txt", mode=0o6777)
    yield "mode of no kind", a_file("a.txt", mode=[])
    yield "mtime beyond", a_file("a.txt", mtime=10**30)
    nan = Piece("F", json.dumps(a_file("a.txt")[0].json | {"mtime": float("nan")}).encode())
    yield "mtime nan", [nan, *a_file("a.txt")[1:]]
    yield "more than announced", [a_file("a.txt")[0], *[Piece("B", b"y" * (1 << 20))] * 64, said("C", {"size": 1})]
    yield "bytes before a file", [Piece("B", b"x")]
    yield "end before a file", [said("C", {"size": 1, "changed": False})]
    yield "without fields", [said("F", {})]
    yield "no object", [Piece("F", b"[1,2,3]")]
    yield "over a directory", [a_directory("d"), *a_file("d")]
    yield "below a file", [*a_file("d"), *a_file("d/e")]


def _links(secret: str) -> Iterator[tuple[str, list[Piece]]]:
    inside = a_link("in", "../" * 30 + secret.lstrip("/"))
    yield "to a secret", [a_link("in", secret)]
    yield "up to a secret", [inside]
    yield "then a file through it", [a_link("in", secret), *a_file("in", b"owned")]
    yield "then bytes behind an offset through it", [inside, *a_file("in", b"owned", offset=1)]
    yield "made before its goal", [a_link("a", "b/c"), a_link("b", "../" * 30), *a_file("a", b"owned", offset=1)]
    yield "a folder that is a link", [a_link("d", "/"), *a_file("d" + secret, b"owned")]
    yield "a folder that becomes a link", [*a_file("d/x"), a_link("d", "/"), *a_file("d" + secret, b"owned")]
    yield "loop", [a_link("a", "b"), a_link("b", "a"), *a_file("a/c")]
    yield "itself", [a_link("a", "a"), *a_file("a")]
    yield "empty", [a_link("a", "")]
    yield "long", [a_link("a", "x/" * 5000)]
    yield "with NUL", [a_link("a", b"x\0y")]
    yield "outside by one", [a_link("a", "../guard/config.php")]


def _definitions(secret: str) -> Iterator[tuple[str, Forge]]:
    yield "reads a file", ddl(f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE {{name}}")
    yield "view reads a file", ddl(f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE wp_options", kind="view")
    yield "view of LOAD_FILE", ddl(f"CREATE VIEW `{{name}}` AS SELECT LOAD_FILE('{secret}') AS x", kind="view")
    yield "view of other accounts", ddl("CREATE VIEW `{name}` AS SELECT * FROM mysql.global_priv", kind="view")
    yield "view writes a file", ddl("CREATE VIEW `{name}` AS SELECT 1 INTO OUTFILE '/tmp/owned'", kind="view")
    yield "data directory", ddl("CREATE TABLE `{name}` (`link_id` int) ENGINE=InnoDB DATA DIRECTORY='/tmp'")
    yield "index directory", ddl("CREATE TABLE `{name}` (`link_id` int) ENGINE=MyISAM INDEX DIRECTORY='/tmp'")
    yield "select", ddl(f"CREATE TABLE `{{name}}` (x LONGBLOB) SELECT LOAD_FILE('{secret}') AS x")
    yield "other schema", ddl("CREATE TABLE `mysql`.`owned` (a int)")
    yield "drop", ddl("DROP DATABASE mysql")
    yield "grant", ddl("GRANT ALL ON *.* TO CURRENT_USER()")
    yield "event", ddl("CREATE EVENT e ON SCHEDULE EVERY 1 SECOND DO SELECT SLEEP(1000)")
    yield "second statement", ddl("CREATE TABLE `{name}` (a int); DROP TABLE wp_options")
    yield "executable comment", ddl("CREATE TABLE `{name}` (a int) /*!50000 DATA DIRECTORY='/tmp' */")
    federated = "ENGINE=FEDERATED CONNECTION='mysql://root@127.0.0.1/mysql/user'"
    yield "federated", ddl(f"CREATE TABLE `{{name}}` (a int) {federated}")
    connect = f"ENGINE=CONNECT FILE_NAME='{secret}' TABLE_TYPE=DOS"
    yield "connect engine", ddl(f"CREATE TABLE `{{name}}` (a varchar(99)) {connect}")
    yield "nested", ddl("CREATE TABLE `{name}` (a int DEFAULT " + "(" * 100_000 + "1" + ")" * 100_000 + ")")
    yield "endless name", ddl("CREATE TABLE `" + "a" * 1_000_000 + "` (a int)")
    yield "many columns", ddl("CREATE TABLE `{name}` (" + ",".join(f"`c{n}` int" for n in range(20_000)) + ")")
    yield "nothing", ddl("")
    yield "set", ddl("SET GLOBAL general_log=1")
    yield "sleep", ddl("CREATE TABLE `{name}` (a int DEFAULT (SLEEP(3600)))")


def _rows() -> Iterator[tuple[str, Forge]]:
    cursor = {"table": "wp_links", "key": ["MQ=="], "offset": 0}
    foreign = said("T", {"table": "mysql.user", "columns": ["a"], "resumed": False})
    yield "table unknown", rows(foreign, Piece("R", b"1\n"))
    yield "before a table", rows(Piece("R", b"1\t2\n"))
    yield "too many cells", in_table(Piece("R", b"1\t" * 5000 + b"\n"), said("E", END))
    yield "too few cells", in_table(Piece("R", b"1\n" * 10), said("E", END))
    yield "no end of line", in_table(*[Piece("R", b"z" * (1 << 20), CONTINUES)] * 200, said("E", END))
    yield "wrong cells", in_table(Piece("R", b"\\\\N\t\xff\xfe\t\\q\n"), said("E", END))
    yield "cursor of no kind", in_table(said("K", {"table": 7}), said("E", {"cursor": 7, "done": False}))
    yield "cursor that never ends", in_table(said("E", {"cursor": cursor, "done": False}))
    yield "table of no kind", rows(said("T", {"table": {"a": 1}}))
    yield "tables that vanish", rows(said("W", {"table": "x" * 100_000, "reason": "gone"}))


def _frames() -> Iterator[tuple[str, Forge]]:
    def inspected(*pieces: Piece) -> Forge:
        return on("inspect", lambda _asked, real: [real[0], *pieces])

    def streamed(*pieces: Piece) -> Forge:
        return on("files.stream", lambda _asked, real: [real[0], *pieces])

    def counted(**values: Any) -> Forge:
        counts = {"files": 1, "bytes": 1, "dirs": 1, "links": 0, "cursor": None, "done": True} | values
        return on("files.count", lambda _asked, real: [real[0], said("J", counts), said("E", END)])

    def raw(data: bytes) -> Forge:
        return on("inspect", lambda _asked, _real: Answer([], data))

    end, somewhere = said("E", END), {"root": "abspath", "path_b64": b64("a"), "offset": None}
    yield "announced too large", raw(b"SFR1J\0\xff\xff\xff\xff\0\0\0\0")
    yield "packed bomb", inspected(Piece("J", bomb(1 << 30), DEFLATED), end)
    yield "deep", inspected(Piece("J", deep(100_000)), end)
    yield "large JSON", inspected(Piece("J", b'{"a":[' + b"[]," * 8_000_000 + b"1]}"), end)
    yield "end without cursor", streamed(said("E", {"done": False}))
    yield "end of no kind", streamed(said("E", {"cursor": [], "done": "maybe"}))
    yield "no end", streamed()
    yield "no object", inspected(Piece("J", b"[]"), end)
    yield "no JSON", inspected(Piece("J", b"\xff\xfe{"), end)
    yield "fault of no kind", inspected(said("X", {"code": ["a"], "message": {"b": 1}, "details": 7}))
    yield "fault endless", inspected(said("X", {"code": "x" * 1000, "message": "\x1b]0;x\x07" * 200_000}))
    yield "unsigned", raw(b"SFR1")
    yield "another's", on("inspect", lambda _asked, real: [said("H", {"nonce": "0" * 32}), *real[1:]])
    yield "files that never end", streamed(said("E", {"cursor": somewhere, "done": False}))
    yield "count that never ends", counted(cursor=somewhere, done=False)
    yield "count beyond everything", counted(files=10**40, bytes=10**40, dirs=-1)


def _facts(secret: str) -> Iterator[tuple[str, Forge]]:
    yield "root target up", root(target="../" * 3)
    yield "root target to another clone", root(target="../../clone-0000000000000000/site")
    yield "root target absolute", root(target=secret)
    yield "root target of no kind", root(target=None)
    yield "root target with control characters", root(target="a\nb\0c")
    yield "roots many", many("roots", "id", 20_000)
    yield "roots none", named("roots", [])
    yield "prefix with a quote", named("prefix", "wp_'; phpinfo(); //")
    yield "prefix endless", named("prefix", "w" * 100_000)
    yield "collate with a quote", named("db_collate", "x'); system('id'); //")
    yield "charset of no kind", named("db_charset", {"a": 1})
    yield "constant with code", named("constants", {"WP_MEMORY_LIMIT": "1'); system('touch /tmp/owned'); //"})
    yield "constant of no kind", named("constants", {"WP_MEMORY_LIMIT": [1, {"a": 2}]})
    yield "home elsewhere", named("urls.home", "http://169.254.169.254/latest")
    yield "home of no kind", named("urls.home", 7)
    yield "home endless", named("urls.home", "http://" + "a." * 500_000 + "b")
    yield "home of one letter", named("urls.home", "http://a")
    yield "home not an address", named("urls.home", "file:///etc/passwd")
    yield (
        "plugins with control characters",
        named("active_plugins", ["\x1b[2J\x1b]0;owned\x07/x.php", "../../../x.php"]),
    )
    yield "tables many", many("tables", "name", 50_000)
    yield "table named with a backtick", table_fact(name="a`; DROP TABLE x; --")
    yield "table named like ours", table_fact(name="_siteferry_cursor")
    yield "table named up", table_fact(name="../../x")
    column = {"name": "link_id", "type_class": "text", "charset": None, "generated": False}
    yield "column named with a backtick", table_fact(columns=[column | {"name": "a`b"}])
    yield "column class unknown", table_fact(columns=[column | {"type_class": "evil"}])
    yield "key unknown", table_fact(key=["no such column"])
    yield "engine unknown", table_fact(engine="CONNECT")
    yield "bytes beyond", table_fact(bytes=10**40)
    for name in ("roots", "tables", "urls", "paths", "prefix", "versions", "constants", "multisite"):
        yield f"without {name}", without(name)
    yield "nothing", facts(lambda _found: {})
