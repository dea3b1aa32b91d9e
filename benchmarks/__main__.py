"""`python -m benchmarks [NAME]`: run one benchmark (or all) and print its result as one JSON line, last.

A benchmark is a module of this package with `run() -> dict`; NAME is its name, with dashes.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import pkgutil
import sys
import time
from collections.abc import Callable
from typing import Any

import benchmarks
from benchmarks._missing import Missing

Run = Callable[[], dict[str, Any]]


def available() -> dict[str, str]:
    """Name -> first line of the module's description, of every benchmark there is."""
    found = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name.startswith("_"):
            continue
        spec = importlib.util.find_spec(f"benchmarks.{module.name}")
        source = spec.loader.get_source(spec.name) if spec and spec.loader else None  # type: ignore[attr-defined]
        if source and "\ndef run(" in source:  # read, not imported: listing must not need what they need
            found[module.name.replace("_", "-")] = source.split('"""')[1].strip().splitlines()[0]
    return found


def main(arguments: list[str]) -> int:
    known = available()
    unknown = [name for name in arguments if name not in known]
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}", file=sys.stderr)
    if unknown or not known:
        print("benchmarks:", *(f"  {name:24} {told}" for name, told in known.items()), sep="\n", file=sys.stderr)
        return 2
    if not arguments:
        print("benchmarks:", *(f"  {name:24} {told}" for name, told in known.items()), sep="\n", file=sys.stderr)
    lacking = False
    for name in arguments or known:
        try:
            run: Run = importlib.import_module(f"benchmarks.{name.replace('-', '_')}").run
            started = time.monotonic()
            result = {"benchmark": name, **run()}
        except ModuleNotFoundError as error:
            print(f"{name}: no Python package {error.name}; get it with: scripts/install.sh --dev", file=sys.stderr)
            lacking = True
        except Missing as error:
            print(f"{name}: {error}", file=sys.stderr)
            lacking = True
        else:
            result["total_s"] = round(time.monotonic() - started, 1)
            print(json.dumps(result), flush=True)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
