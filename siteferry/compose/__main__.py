"""`python -m siteferry.compose PART`: what compose.yaml runs beside the services."""

import sys

from siteferry.compose import parts

PARTS = {"init": parts.init, "keeper": parts.keeper, "mariadb": parts.mariadb, "edge": parts.edge}


if __name__ == "__main__":
    PARTS[sys.argv[1]]()
