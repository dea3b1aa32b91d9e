"""The demo's last words, and the browser that shows what they are about."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from demo.product import Product
from demo.site import NAME, PASSWORD, USERNAME
from tests.sites.site import Site


def closing_lines(site: Site, product: Product, result: dict[str, Any]) -> Iterator[Text]:
    """Where everything is, and what to try next: commands as they can be copied, each on a line of its own."""
    yield Text()
    yield Text(f"{NAME} and its clone", style="bold green")
    for name, value in (
        ("source", f"{site.home}/  ({USERNAME} / {PASSWORD})"),
        ("clone", result["clone_url"]),
        ("  login", f"{result['clone_url'].rstrip('/')}/wp-admin/"),
        ("  as", f"{result['username']} / {result['password']}"),
        ("dashboard", f"{product.url}/"),
        ("API", f"{product.url}/docs"),
    ):
        yield Text(f"  {name:<11}", style="dim").append(value, style="default")
    yield Text()
    yield Text("Change something on the clone: the source does not notice. In another terminal, try")
    for command in ("clones", f"mail {result['clone_id']}", f"delete {result['clone_id']}"):
        yield Text(f"  {siteferry()} --state {shlex.quote(str(product.state))} {command}")
    yield Text()
    yield Text("Ctrl-C stops everything; the next run starts faster.", style="dim")


def siteferry() -> str:
    """How the command line is called from here: by its name where that finds ours, else by its path."""
    ours = Path(sys.executable).with_name("siteferry")
    if (found := shutil.which("siteferry")) and Path(found).samefile(ours):
        return "siteferry"
    shown = os.path.relpath(ours)
    return shlex.quote(str(ours) if shown.startswith("..") else shown)


def show(url: str, what: str, out: Console) -> None:
    """Open `url` in a browser where there is a display, and say where it is in any case."""
    browser = _graphical_browser()
    opened = browser is not None and browser.open(url)
    out.print(Text(f"▸ {what} {'opens' if opened else 'is for a browser'}: {url}"), soft_wrap=True)


def _graphical_browser() -> webbrowser.BaseBrowser | None:
    """A browser with a window of its own: one in the terminal would take it from the demo."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return None
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return None
    in_the_terminal = type(browser) is webbrowser.GenericBrowser and not os.environ.get("BROWSER")
    return None if in_the_terminal else browser
