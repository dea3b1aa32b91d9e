"""Accounts of the containers, as numbers: names differ between images. The Dockerfile and compose.yaml use the same."""

from __future__ import annotations

from shared.contract.rights import KEEPER

SHARED = 10_000
"""Group of all that open the vault."""
GATEWAY, STATUS, RESTORER, KEEPER_ACCOUNT, NATS, MARIADB = range(10_001, 10_007)
ROOT = 0
"""Of those that hold clones: each clone has an account of its own, which only root can give."""

OF_USER = {
    KEEPER: KEEPER_ACCOUNT,
    "gateway": GATEWAY,
    "status": STATUS,
    "restorer": RESTORER,
    "cloner": ROOT,
    "operator": ROOT,
}
"""Who reads the login of each user of NATS."""
