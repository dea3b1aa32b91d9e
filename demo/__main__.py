"""`python -m demo`: a real WordPress site is cloned on this machine, from nothing to two sites side by side.

`--once` does the same without a person: it checks the clone, deletes it, makes sure nothing is left, and removes
everything. Exit code 0 only if all of it worked.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.text import Text

from demo import checks
from demo.closing import closing_lines, show
from demo.product import Product
from demo.site import PASSWORD, PICTURES, USERNAME, open_or_build
from siteferry.embedded.servers import ServerError
from siteferry.embedded.servers.base import shared_temporary
from siteferry.embedded.servers.ports import port_in_use
from tests.sites.farm import SourceFarm
from tests.sites.site import Site

PORT, SOURCE_PORT = 8080, 8090
out = Console(stderr=True, highlight=False)


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    state: Path = options.state or (_temporary() if options.once else _default_state())
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o711)
    try:
        return run_once(options, state) if options.once else run(options, state)
    except KeyboardInterrupt:
        out.print("\nStopped.")
        return 130 if options.once else 0  # for a person Ctrl-C is how the demo ends
    except (ServerError, RuntimeError) as error:
        out.print(Text(f"demo: {error}", style="red"))
        return 1
    finally:
        if options.once and not options.keep and options.state is None:
            shutil.rmtree(state, ignore_errors=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--once", action="store_true", help="clone, check, delete, check, stop; for CI")
    parser.add_argument("--state", type=Path, help="directory of the source and of Siteferry; kept")
    parser.add_argument("--port", type=int, help=f"port of Siteferry (default {PORT}; with --once a free one)")
    parser.add_argument("--keep", action="store_true", help="with --once: leave the temporary directory")
    parser.add_argument("--no-browser", action="store_true", help="open no browser, even where there is a display")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="how many pictures the source has")
    return parser.parse_args()


def run(options: argparse.Namespace, state: Path) -> int:
    """For a person: everything stays up until Ctrl-C; the next run finds the source built."""
    port = options.port if options.port is not None else 0 if port_in_use(PORT) else PORT
    source_port = 0 if port_in_use(SOURCE_PORT) else SOURCE_PORT
    with SourceFarm(state / "source", port=source_port) as farm:
        site = _source(farm, options.pictures)
        with Product(state / "siteferry", port=port) as product:
            if not options.no_browser:
                show(f"{product.url}/", "the dashboard", out)
            out.print(Text("▸ cloning it", style="bold"))
            code, job = product.clone(site.home, USERNAME, PASSWORD)
            if job is None:
                return code or 1
            for line in closing_lines(site, product, job["result"]):
                out.print(line, soft_wrap=True)  # a line is a line: what is copied from it must work
            if not options.no_browser:
                show(job["result"]["clone_url"], "the clone", out)
            signal.pause()
    return 0


def run_once(options: argparse.Namespace, state: Path) -> int:
    """For CI: every check, one line each."""
    failed = 0

    def report(found: Iterable[checks.Found]) -> None:
        nonlocal failed
        for good, told in found:
            out.print(Text("  ✓ " if good else "  ✗ ", style="green" if good else "red").append(told, style="default"))
            failed += not good

    with SourceFarm(state / "source") as farm:
        site = _source(farm, options.pictures)
        with Product(state / "siteferry", port=options.port or 0) as product:
            out.print(Text("▸ cloning it", style="bold"))
            code, job = product.clone(site.home, USERNAME, PASSWORD)
            report([(job is not None, f"the clone is complete (exit code {code})")])
            passwords = [PASSWORD]
            if job:
                result = job["result"]
                passwords.append(result["password"])
                report(checks.of_the_clone(result, site))
                report(checks.of_the_database(product.state, site))
                report([(product.run("delete", result["clone_id"], "--wait") == 0, "the clone is deleted")])
                report(checks.of_the_removal(product.state, result["clone_id"], site))
            report([(product.stop() == 0, "Siteferry stopped in order")])
            report(checks.of_secrets([product.state, product.output], passwords))
    out.print(Text(f"{failed} failed" if failed else "All of it worked.", style="bold red" if failed else "bold green"))
    return 1 if failed else 0


def _source(farm: SourceFarm, pictures: int) -> Site:
    started = time.monotonic()
    out.print(Text("▸ a WordPress site to clone", style="bold"))
    site = open_or_build(farm, pictures=pictures, say=lambda told: out.print(f"  {told} …"))
    out.print(f"  ready after {time.monotonic() - started:.0f} s: {site.home}/")
    return site


def _default_state() -> Path:
    """A place the web account can reach: not below root's home directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/siteferry-demo")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "siteferry-demo"


def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="siteferry-demo-", dir=shared_temporary()))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
