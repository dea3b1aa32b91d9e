"""Getting in and out of the source: sign in, install the connector, remove it."""

from __future__ import annotations

from typing import Any

from services.cloner.run import CloneRun
from shared.contract.jobs import Note
from shared.errors import JobError
from shared.log import get
from shared.wordpress.connector.package import build_connector_zip
from shared.wordpress.connector.protocol import parse_pairing_key
from shared.wordpress.install import install_connector, remove_connector

log = get(__name__)


def sign_in(run: CloneRun, secret: dict[str, Any]) -> None:
    """Find the site and sign in, or take the pairing key of a connector somebody installed by hand."""
    run.context.report(message="Looking for WordPress")
    host = run.source_host
    if secret.get("pairing_key"):
        run.remember_key(parse_pairing_key(secret["pairing_key"]))
        run.state["paired"] = True
        return
    run.context.report(message=f"Signing in to {host}")
    run.session(secret)


def install(run: CloneRun, secret: dict[str, Any], expires_at: int) -> None:
    """Upload and activate the connector with the key in the job's state."""
    run.context.report(message="Installing the connector")
    archive = build_connector_zip(run.connector_key(), run.job_id, expires_at)
    install_connector(run.session(secret), archive)


def greet(run: CloneRun) -> None:
    """Have the connector answer. Raises ConnectorGone or ConnectorRefused when it is not there or not ours."""
    run.context.report(message="Asking the connector")
    run.state["connector_version"] = run.connector.call("hello")["connector"]


def remove(run: CloneRun, secret: dict[str, Any] | None) -> bool:
    """Take the connector off the source: by itself, else as an administrator. What can not be removed is said.

    Returns whether it is gone. A connector that was installed by hand stays: whoever installed it decides.
    """
    problem = _remove_by_itself(run)
    if problem is not None and secret is not None and secret.get("password"):
        problem = _remove_as_administrator(run, secret)
    if problem is None:
        return True
    log.warning("connector stays on the source", job=run.job_id, error=problem)
    run.context.note(
        Note(
            code="connector_not_removed",
            message="The connector could not be removed from the source; it stops working and removes itself within "
            f"{run.settings.connector_hours} hours. You can delete the plugin “Siteferry Connector” now. ({problem})",
        )
    )
    return False


def _remove_by_itself(run: CloneRun) -> str | None:
    """Not `connector.remove()`: one that does not answer may be gone, or only be switched off."""
    try:
        answer = run.connector.call("remove")
    except JobError as error:
        run.token.check()
        return error.message
    return None if answer.get("removed", True) else f"left behind: {', '.join(answer['left'][:5])}"


def _remove_as_administrator(run: CloneRun, secret: dict[str, Any]) -> str | None:
    try:
        remove_connector(run.session(secret))
    except JobError as error:
        run.token.check()
        return error.message
    return None
