"""`python -m siteferry.cluster PART`: what deploy/ runs beside the services, and what prints its secrets."""

import sys

from siteferry.cluster import parts
from siteferry.cluster.secrets import print_secrets
from siteferry.compose.parts import keeper

PARTS = {"secrets": print_secrets, "nats": parts.nats, "keeper": keeper, "edge": parts.edge}


if __name__ == "__main__":
    PARTS[sys.argv[1]]()
