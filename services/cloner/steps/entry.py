"""Getting in and out of the source: sign in, install the connector, remove it."""

from __future__ import annotations

from services.cloner.run import CloneRun
from shared.contract.jobs import Note
from shared.errors import JobError
from shared.log import get
from shared.wordpress.install import install_connector, remove_connector

log = get(__name__)


def sign_in(run: CloneRun) -> None:
    """Find the site and sign in, unless somebody installed a connector by hand and gave us its key."""
    run.context.report(message="Looking for WordPress")
    host = run.source_host
    if run.secrets.login:
        run.context.report(message=f"Signing in to {host}")
        run.desk.session()


def install(run: CloneRun, archive: bytes) -> None:
    """Upload and activate the connector, which the worker has packed."""
    run.context.report(message="Installing the connector")
    run.desk.work(lambda session: install_connector(session, archive))


def greet(run: CloneRun) -> None:
    """Have the connector answer. Raises ConnectorGone or ConnectorRefused when it is not there or not ours."""
    run.context.report(message="Asking the connector")
    run.state["connector_version"] = run.connector.call("hello")["connector"]


def remove(run: CloneRun) -> bool:
    """Take the connector off the source: by itself, else as an administrator. What can not be removed is said.

    Returns whether it is gone. A connector that was installed by hand stays: whoever installed it decides.
    """
    problem = _remove_by_itself(run)
    if problem is not None and run.secrets.login:
        problem = _remove_as_administrator(run)
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


def _remove_as_administrator(run: CloneRun) -> str | None:
    try:
        run.desk.work(remove_connector)
    except JobError as error:
        run.token.check()
        return error.message
    return None
