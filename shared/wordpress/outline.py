"""What we look for in a page of WordPress, collected in one pass over its tags (see `markup`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.wordpress.markup import Tag, tags

MOST_AT_ONCE = 6
"""Elements whose inside is noted at the same time; others that begin meanwhile are inside of these."""
MOST_KEPT = 50
MOST_NAMES = 20_000

DIED, LOGIN_ERROR, ERROR_PAGE, NOTICE, WRAP, TITLE, MESSAGE = (
    "died", "login_error", "error_page", "notice", "wrap", "title", "message",
)  # fmt: skip
"""Kinds of elements whose inside is kept."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form: its attributes, and its fields by name with their preset values (checkboxes included)."""

    attributes: Mapping[str, str]
    fields: dict[str, str]

    @property
    def action(self) -> str:
        return self.attributes.get("action", "")


@dataclass
class _Open:
    kind: str
    tag: str
    start: int
    depth: int = 1


@dataclass
class Outline:
    """Forms, links, marks and some elements of a page."""

    forms: list[Form] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    """`href` of every link, unescaped, in page order."""
    heads: list[dict[str, str]] = field(default_factory=list)
    """Attributes of `<link>` and `<meta>`."""
    names: set[str] = field(default_factory=set)
    """`name` of every field, in a form or not."""
    classes: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    body_classes: list[str] = field(default_factory=list)
    plugins: set[str] = field(default_factory=set)
    """`data-plugin` of every row: what the plugins screen lists."""
    kept: dict[str, list[str]] = field(default_factory=dict)
    """Markup inside the elements of each kind."""
    ends: bool = False
    """Whether the page has its end, `</html>`."""


def outline(text: str) -> Outline:
    """Read a page once. Linear in its length."""
    seen, opened = Outline(), list[_Open]()
    form: Form | None = None
    for tag in tags(text):
        if opened:
            opened = _followed(seen, opened, tag, text)
        if tag.closing:
            seen.ends = seen.ends or tag.name == "html"
            form = None if tag.name == "form" else form
            continue
        has = tag.attributes
        if has:
            _mark(seen, tag)
        if tag.name == "a" and "href" in has:
            seen.links.append(has["href"])
        elif tag.name == "form":
            form = Form(has, {})
            seen.forms.append(form)
        elif tag.name in ("input", "select", "textarea", "button") and has.get("name"):
            seen.names.add(has["name"])
            if form is not None:
                form.fields.setdefault(has["name"], has.get("value", ""))
        elif tag.name in ("link", "meta"):
            seen.heads.append(has)
        kind = _kind(tag)
        if kind is not None and len(opened) < MOST_AT_ONCE:
            opened.append(_Open(kind, tag.name, tag.end))
    for still in opened:
        _keep(seen, still, text[still.start :])
    return seen


def _mark(seen: Outline, tag: Tag) -> None:
    has = tag.attributes
    if "class" in has and len(seen.classes) < MOST_NAMES:
        seen.classes.update(tag.classes)
    if "id" in has and len(seen.ids) < MOST_NAMES:
        seen.ids.add(has["id"])
    if "data-plugin" in has:
        seen.plugins.add(has["data-plugin"])
    if tag.name == "body" and not seen.body_classes:
        seen.body_classes = tag.classes


def _kind(tag: Tag) -> str | None:
    has = tag.attributes
    if tag.name == "title":
        return TITLE
    if tag.name == "body" and has.get("id") == "error-page":
        return ERROR_PAGE
    if tag.name != "div" or not has:
        return None
    if has.get("id") == "login_error":
        return LOGIN_ERROR
    if has.get("id") == "message":
        return NOTICE if "error" in tag.classes else MESSAGE
    for name in tag.classes:
        if name == "wp-die-message":
            return DIED
        if name in ("notice-error", "error"):
            return NOTICE
        if name == "wrap":
            return WRAP
    return None


def _followed(seen: Outline, opened: list[_Open], tag: Tag, text: str) -> list[_Open]:
    """The elements that are still open after this tag; what ended is kept."""
    still = []
    for one in opened:
        if tag.name == one.tag:
            one.depth += -1 if tag.closing else 1
        if one.depth == 0:
            _keep(seen, one, text[one.start : tag.start])
        else:
            still.append(one)
    return still


def _keep(seen: Outline, one: _Open, inside: str) -> None:
    kept = seen.kept.setdefault(one.kind, [])
    if len(kept) < MOST_KEPT:
        kept.append(inside)
