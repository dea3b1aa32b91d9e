"""`python -m tests.kubernetes.bed` builds the bed's Kubernetes, once; `make test KUBERNETES=1` does that first."""

from __future__ import annotations

import sys

from siteferry.embedded.servers import ServerError
from tests.kubernetes.bed.build import build, built


def main() -> int:
    if built() is None:
        print("building Kubernetes for its tests: about ten minutes, once", flush=True)
    try:
        print(f"Kubernetes for tests: {build()}")
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


sys.exit(main())
