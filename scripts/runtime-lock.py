"""Prints the part of requirements.lock that runs Siteferry, without what only its tests and benchmarks need.

    python3 scripts/runtime-lock.py [PACKAGE …] <requirements.lock

PACKAGEs are taken along with what they need themselves. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys

OURSELVES = "siteferry (pyproject.toml)"


def main() -> None:
    """Read the lock, keep what is reachable."""
    lock = sys.stdin.read()
    blocks = {text.partition("==")[0]: text for text in re.split(r"^(?=[a-z0-9][a-z0-9._-]*==)", lock, flags=re.M)[1:]}
    wanted_by = {name: set(re.findall(r"^    #(?: via)? {1,3}(\S.*)$", text, re.M)) for name, text in blocks.items()}
    wanted = {OURSELVES, *sys.argv[1:]}
    while more := {name for name, parents in wanted_by.items() if parents & wanted} - wanted:
        wanted |= more
    sys.stdout.write("".join(text for name, text in blocks.items() if name in wanted))


main()
