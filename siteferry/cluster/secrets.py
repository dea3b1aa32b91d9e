"""The Secrets of an installation in a cluster, made once by whoever installs it:

    python -m siteferry.cluster secrets | kubectl create -f -

`create` refuses what is there, so nothing is ever made anew under a running installation.
"""

from __future__ import annotations

import json
import secrets
import sys
from typing import Any

from shared.contract.rights import USERS
from shared.secrets.key_file import digest
from shared.secrets.vault import new_key_file

NAMESPACE = "siteferry"
ROUTES = "routes"
"""Name by which the servers of NATS know one another."""
LOGIN, VAULT, POD_KEY, API_KEYS = "login", "vault.key", "pod.key", "api-keys"
"""Names of the files the Secrets become."""


def print_secrets() -> None:
    """All of them as one list, as JSON; the first API key on standard error, for it is stored nowhere."""
    key = secrets.token_hex(32)
    sys.stderr.write(f"The first API key, an operator's; it is shown here only: {key}\n")
    sys.stdout.write(json.dumps({"apiVersion": "v1", "kind": "List", "items": made(key)}) + "\n")


def made(api_key: str) -> list[dict[str, Any]]:
    """Secrets, no two of the same content ever."""
    logins = [_secret(f"nats-{user}", LOGIN, f"{user}:{secrets.token_hex(24)}\n") for user in (*USERS, ROUTES)]
    return [
        *logins,
        _secret("vault", VAULT, new_key_file()),
        _secret("pod-key", POD_KEY, secrets.token_hex(48) + "\n"),
        _secret("api-keys", API_KEYS, f"first:{digest(api_key)}:operator::operator\n"),
    ]


def _secret(name: str, file: str, text: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/part-of": "siteferry"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "stringData": {file: text},
    }
