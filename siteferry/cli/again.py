"""What to do after a job that failed: run it again, or ask for it anew."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from shared.ids import is_job_id

ASK_ANEW = frozenset(
    {
        "wrong_password",
        "unknown_user",
        "not_administrator",
        "bad_pairing_key",
        "invalid_address",
        "address_refused",
        "host_not_found",
        "not_wordpress",
        "secret_gone",
        "invalid_command",
        "production_would_lose",
        "clone_edited",
    }
)
"""Errors a retry can not mend: it would use the same address, login and wish again."""
GO_ON = {"production_would_lose": "--accept-loss", "clone_edited": "--overwrite"}
"""Refusals that a person may overrule, and how."""
HOPELESS = frozenset({"multisite_unsupported", "snapshot_gone"})


def next_step(job: dict[str, Any]) -> str:
    """What may help, as a sentence that ends in a command; empty when nothing does."""
    code, command = _code(job), next_command(job)
    if not command:
        return ""
    if code in GO_ON:
        return f"To go on all the same: {command}"
    return f"Ask for it anew with: {command}" if code in ASK_ANEW else f"Once it is put right: {command}"


def next_command(job: dict[str, Any]) -> str:
    """That command alone."""
    code = _code(job)
    if code in HOPELESS:
        return ""
    if code not in ASK_ANEW:
        return f"siteferry retry {job['job_id']}"
    return f"{_anew(job)} {GO_ON.get(code, '')}".rstrip()


def _code(job: dict[str, Any]) -> str | None:
    code: str | None = (job.get("error") or {}).get("code")
    return code


def _anew(job: dict[str, Any]) -> str:
    """The command that asks for the same once more, with a login to be given."""
    if job.get("type", "clone") == "clone":
        login = "--pairing-key-stdin" if _code(job) == "bad_pairing_key" else "-u USER"
        if job.get("action") == "refresh":
            return f"siteferry refresh {_source(job['target_url'])} {login} --watch"
        return f"siteferry clone {job['source_url']} {login} --watch"
    if (job.get("action") or "restore") != "restore":
        return f"siteferry {job['action']} SNAPSHOT -u USER --watch"
    return f"siteferry restore {_source(job['source_url'])} {job['target_url']} -u USER --watch"


def _source(url: str) -> str:
    """What a restore began with: the clone's id where the address is one's."""
    label = (urlsplit(url).hostname or "").partition(".")[0]
    return label if is_job_id(label) else url
