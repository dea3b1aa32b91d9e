"""What is decided about a clone, as pure functions of what the connector said about the source."""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from services.cloner.constants import carried_constants, constants_behind
from services.cloner.drivers.port import SiteConfig
from services.cloner.errors import MultisiteUnsupported, NotEnoughSpace
from services.cloner.media import Origin, copied, origin
from shared.contract.events import CloneOptions
from shared.contract.jobs import Note
from shared.wordpress.connector.errors import TableBroken
from shared.wordpress.connector.skips import FILE_RULES, FileRule, RowRule, row_rules_for, rows_stay_behind
from shared.wordpress.hostbound import quarantined_plugins
from shared.wordpress.media import RULE as MEDIA_RULE
from shared.wordpress.paths import relative
from shared.wordpress.rewrite import PathMapping, UrlMapping
from shared.wordpress.transfer.database import Column, Table
from shared.wordpress.transfer.ddl import Dialect, TableModel, UnknownDefinition, banded, uncounted
from shared.wordpress.transfer.files import Arrangement
from shared.wordpress.transfer.fitting import LISTS, base_type

TEXT = frozenset({"text", "json"})
"""Classes of column types whose values pass the rewriter; numbers, dates, bits, blobs and geometry never do."""

CORE = frozenset("options posts postmeta comments commentmeta terms term_taxonomy term_relationships users".split())
"""Tables without which there is no site."""

VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})")
ADDRESS = re.compile(r"https?://[^/?#\s]+", re.IGNORECASE)
SPACE_FACTOR = 1.3
DATABASE_FACTOR = 2.2
"""Disk a database takes while it is loaded (data, indexes, log), as a multiple of what the source reports."""
SPARE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Plan:
    """Everything the steps need to know, derived from one inspection."""

    tables: tuple[Table, ...]
    views: tuple[tuple[str, str], ...]
    roots: tuple[dict[str, Any], ...]
    root_targets: dict[str, bytes]
    urls: tuple[UrlMapping, ...]
    paths: tuple[PathMapping, ...]
    config: SiteConfig
    content: bytes
    mu_plugins: bytes
    notes: tuple[Note, ...]
    media: Origin | None = None
    """Where the media are that do not travel; None: they all do."""

    @property
    def arrangement(self) -> Arrangement:
        """Which files go where."""
        return Arrangement(self.root_targets, content=self.content, mu_plugins=self.mu_plugins)


def make_plan(
    facts: Mapping[str, Any],
    *,
    target_url: str,
    document_root: str,
    dialect: Dialect,
    options: CloneOptions,
    id_band: int = 0,
    no_media: str = "",
) -> Plan:
    """The plan for one source. `facts` is the connector's inspection; `id_band`, how far behind the source's the ids
    of the clone's new rows begin; `no_media`, why media can not stay on the source, "" when they can. Raises
    MultisiteUnsupported, BadPath."""
    if facts["multisite"]:
        raise MultisiteUnsupported(sites=(facts.get("multisite_facts") or {}).get("sites"))
    facts = {**facts, "roots": [{**root, "target": _inside(root["target"])} for root in facts["roots"]]}
    wordpress, content, mu_plugins, uploads = _places(facts)
    media, why = origin(facts, options, uploads, offered=no_media)
    held = quarantined_plugins(facts["active_plugins"])
    chosen = _select(facts, dialect, options, id_band)
    config = SiteConfig(
        prefix=facts["prefix"],
        charset=facts["db_charset"] or "utf8mb4",
        collate=facts["db_collate"] or "",
        constants=carried_constants(facts, options.constants),
        wordpress_path=wordpress,
        content_path=None if content == posixpath.join(wordpress, "wp-content") else content,
        source_host=urlsplit(facts["urls"]["home"]).netloc,
        allow_http=tuple(options.allow_http),
        quarantined_plugins=tuple(sorted(held)),
        media=None if media is None else media.model_dump(),
    )
    return Plan(
        tables=tuple(chosen.tables),
        views=tuple(chosen.views),
        roots=tuple(facts["roots"]),
        root_targets={root["id"]: root["target"].encode() for root in facts["roots"]},
        urls=_urls(facts["urls"], target_url, wordpress),
        paths=_paths(facts["roots"], facts["paths"], document_root),
        config=config,
        content=content.encode(),
        mu_plugins=mu_plugins.encode(),
        notes=(*_notes(facts, held, chosen, dialect, options), *copied(why)),
        media=media,
    )


def file_rules(options: CloneOptions, *, media: bool = False) -> list[FileRule]:
    """What stays on the source among the files: the product's rules and what the person asked to leave out; `media`:
    pictures and documents, too."""
    asked = tuple(path.strip("/") for path in options.exclude_paths if path.strip("/"))
    rules = [*FILE_RULES, FileRule("asked", "root", asked, "left out as asked")] if asked else list(FILE_RULES)
    return [*rules, MEDIA_RULE] if media else rules


def row_rules(table: str, prefix: str, options: CloneOptions) -> list[RowRule]:
    """What stays on the source among the rows of a table."""
    rules = row_rules_for(table, prefix)
    return [rule for rule in rules if not (options.keep_transients and "transients" in rule.id)]


def space_needed(file_bytes: int, tables: Sequence[Mapping[str, Any]]) -> int:
    """Bytes the target must have free."""
    database = sum(int(table["bytes"] or 0) for table in tables)
    return int(file_bytes * SPACE_FACTOR + database * DATABASE_FACTOR) + SPARE_BYTES


def check_space(needed: int, free: int) -> None:
    """Raises NotEnoughSpace with both numbers."""
    if needed > free:
        text = f"The clone needs about {_human(needed)}, the clone server has {_human(free)} free."
        raise NotEnoughSpace(text, needed_bytes=needed, free_bytes=free)


def _places(facts: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """WordPress, content, mu-plugins and uploads directories relative to the clone's document root."""
    roots = {root["id"]: root for root in facts["roots"]}
    wordpress = roots["abspath"]["target"]
    paths = facts["paths"]

    def place(path: str) -> str:
        for root in sorted(facts["roots"], key=lambda root: -len(root["path"])):
            base = root["path"].rstrip("/")
            if path == base or path.startswith(base + "/"):
                return _inside(posixpath.join(root["target"], path[len(base) :].strip("/")))
        return _inside(posixpath.join(wordpress, posixpath.basename(path)))

    uploads = paths.get("uploads")
    return wordpress, place(paths["content"]), place(paths["mu-plugins"]), place(uploads) if uploads else ""


def _urls(urls: Mapping[str, Any], target: str, wordpress: str) -> tuple[UrlMapping, ...]:
    """What becomes the clone's address: where the site says it is, and what its database says where that differs."""
    core = f"{target}/{wordpress}".rstrip("/")
    home, siteurl = urls["home"].rstrip("/"), urls["siteurl"].rstrip("/")
    mapped = {home: target}
    mapped.setdefault(siteurl, core)
    # WP_HOME and WP_SITEURL stay behind: on the clone WordPress is where the database says.
    for stored, goal in ((urls.get("home_stored"), target), (urls.get("siteurl_stored"), core)):
        if stored and ADDRESS.match(stored):
            mapped.setdefault(stored.rstrip("/"), goal)
    return tuple(UrlMapping((source,), goal) for source, goal in mapped.items())


def _inside(path: str) -> str:
    """A place below the document root as the source names it. Raises BadPath."""
    return b"/".join(relative(path.strip("/").encode())).decode()


def _paths(roots: Sequence[Mapping[str, Any]], paths: Mapping[str, Any], document_root: str) -> tuple[PathMapping, ...]:
    """Every root's directory, by its own name and by those that links give it."""
    found = {}
    for root in roots:
        source = root["path"].rstrip("/")
        if source:
            found[source] = posixpath.join(document_root, root["target"]).rstrip("/")
    for link, real in (
        (paths.get("document_root"), paths.get("document_root_real")),
        (next((root["path"] for root in roots if root["id"] == "abspath"), ""), paths.get("abspath_real")),
    ):
        link, real = str(link or "").rstrip("/"), str(real or "").rstrip("/")
        if link.count("/") < 2 or real.count("/") < 2 or link == real:
            continue
        for one, other in ((link, real), (real, link)):
            for source, target in list(found.items()):
                if source == one or source.startswith(one + "/"):
                    found.setdefault(other + source[len(one) :], target)
    return tuple(PathMapping(source, target) for source, target in found.items())


def php_note(source: str, clones: str) -> Note | None:
    """What to say when the source's PHP is newer than the clones': its code may not run on theirs. Pure."""
    theirs, ours = _minor(source), _minor(clones)
    if theirs is None or ours is None or theirs <= ours:
        return None
    text = (
        f"The site runs PHP {source}, clones run PHP {clones}: plugins and themes written for the newer one may fail "
        "there, and the job's error then says what PHP says"
    )
    return Note(code="php_newer_on_source", message=text)


def _minor(version: str) -> tuple[int, int] | None:
    found = VERSION.match(version)
    return (int(found[1]), int(found[2])) if found else None


@dataclass
class _Selection:
    """The site's tables, sorted by what happens to them."""

    tables: list[Table]
    views: list[tuple[str, str]]
    excluded: list[str]
    unreadable: list[str]
    id_band: int


def _select(facts: Mapping[str, Any], dialect: Dialect, options: CloneOptions, id_band: int) -> _Selection:
    prefix, unwanted = facts["prefix"], set(options.exclude_tables)
    chosen = _Selection([], [], [], [], id_band)
    for table in facts["tables"]:
        name = table["name"]
        if name in unwanted or name.removeprefix(prefix) in unwanted:
            chosen.excluded.append(name)
        elif (broken := table.get("create_error")) and name.removeprefix(prefix) in CORE:
            raise TableBroken(f"The table {name} can not be read: {broken}")
        elif table.get("create_error") or table["kind"] == "sequence":
            chosen.unreadable.append(f"{name}: {table.get('create_error') or table['kind']}")
        else:
            try:
                _take(table, dialect, prefix, options, chosen)
            except UnknownDefinition as error:
                if name.removeprefix(prefix) in CORE:
                    raise
                chosen.unreadable.append(f"{name}: {error.message}")
    return chosen


def _take(table: Mapping[str, Any], dialect: Dialect, prefix: str, options: CloneOptions, chosen: _Selection) -> None:
    if table["kind"] == "view":
        chosen.views.append((table["name"], dialect.view(_create(table))))
    else:
        chosen.tables.append(_table(table, dialect, prefix, options, chosen.id_band))


def _table(table: Mapping[str, Any], dialect: Dialect, prefix: str, options: CloneOptions, id_band: int) -> Table:
    name, model = table["name"], dialect.model(_create(table))
    if model.name != name:
        raise UnknownDefinition(f"The definition of {name} makes a table of another name.")
    columns = tuple(
        Column(
            name=column["name"],
            type_class=column["type_class"],
            charset=column["charset"],
            rewrite=_is_rewritten(name.removeprefix(prefix), column),
            type=column.get("type") or "",
        )
        for column in table["columns"]
        if (not column["generated"] or column["name"] in model.plain) and model.column(column["name"])
    )
    rules = row_rules(name, prefix, options)
    model, first_id = banded(model, id_band)
    model, is_uncounted = uncounted(model, int(table.get("rows") or 0))
    return Table(
        name=name,
        engine=model.engine,
        create=dialect.written(model),
        simpler=tuple(dialect.written(simpler) for simpler in model.simpler()),
        columns=columns,
        key=tuple(table["key"]),
        where=tuple(rule.params() for rule in rules),
        with_rows=rows_stay_behind(name, prefix) is None,
        unique=_unique(model, {column.name for column in columns if column.rewrite})
        if name != f"{prefix}options"
        else (),
        first_id=first_id,
        uncounted=is_uncounted,
    )


def _unique(model: TableModel, rewritten: set[str]) -> tuple[tuple[tuple[str, int | None], ...], ...]:
    keys = [tuple((part.column, part.length) for part in key.parts) for key in model.keys if key.unique]
    return tuple(parts for parts in keys if any(name in rewritten for name, _ in parts))


def _is_rewritten(table: str, column: Mapping[str, Any]) -> bool:
    if (table, column["name"]) == ("posts", "guid"):
        return False
    return column["type_class"] in TEXT and base_type(column.get("type") or "") not in LISTS


def _create(table: Mapping[str, Any]) -> str:
    encoded = table["create_b64"]
    return base64.b64decode(encoded).decode("utf-8", "surrogateescape") if encoded else str(table["create"])


def _notes(
    facts: Mapping[str, Any], held: Mapping[str, str], chosen: _Selection, dialect: Dialect, options: CloneOptions
) -> list[Note]:
    notes = []

    def add(code: str, message: str, samples: Iterable[str]) -> None:
        names = list(samples)
        if names:
            notes.append(Note(code=code, message=message, count=len(names), samples=names[:20]))

    add("plugins_quarantined", "Plugins that do not load on the clone", (f"{k}: {v}" for k, v in sorted(held.items())))
    add("tables_excluded", "Tables left out as asked", chosen.excluded)
    held_back = []
    for table in chosen.tables:
        rules: list[Any] = row_rules(table.name, facts["prefix"], options)
        if rule := rows_stay_behind(table.name, facts["prefix"]):
            rules = [rule]
        held_back += [f"{table.name}: {rule.reason}" for rule in rules]
    add("rows_excluded", "Rows that stay on the source", held_back)
    text = "Tables and views that can not be made here as the source describes them, not copied"
    add("tables_unreadable", text, chosen.unreadable)
    foreign = (f"{table['name']}: {table['reason']}" for table in facts.get("foreign_tables", ()))
    add("tables_foreign", "Tables of other installations in the same database, not copied", foreign)
    text = "Tables in the same database whose names begin otherwise than the site's, not copied"
    add("tables_other", text, facts.get("other_tables", ()))
    text = "Files and folders of the web root beside WordPress's own, not copied"
    add("files_beside", text, facts.get("beside", ()))
    for kind in ("triggers", "routines", "events"):
        add(f"{kind}_not_copied", f"Database {kind} are not copied", facts.get(kind, ()))
    behind = constants_behind(facts, options.constants)
    text = "Constants of wp-config.php that stay behind; name in options.constants what the clone needs"
    add("constants_left", text, behind)
    text = "Code that wp-config.php loads from outside of the site's directories; it is not copied"
    add("code_outside", text, facts.get("code_outside", ()))
    adapted = [f"{old} -> {new}" for old, new in sorted(dialect.replaced.items())] + dialect.left_out
    add(
        "definitions_adapted",
        "Parts of definitions that the clone's server has not, or that are not made here",
        adapted,
    )
    return notes


def _human(size: int) -> str:
    value = float(size)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"
