"""What can go wrong with a carrier, and how errors cross its pipe."""

from __future__ import annotations

import json
import sys
import traceback
from contextlib import suppress
from typing import Any, Literal

from shared.engine.carriers.messages import Fault
from shared.engine.token import Draining
from shared.errors import Cancelled, JobError, LeaseLost, Permanent, Temporary

DETAILS = 64_000
"""Characters of an error's details, as JSON."""
MISSHAPEN = (LookupError, TypeError, ValueError, AttributeError, AssertionError, ArithmeticError, RecursionError)
"""What code raises whose input is not what it takes it for. What arrived was checked on its way (checksums, signature),
so it would be the same the next time."""
STOPS: dict[str, type[JobError]] = {kind.code: kind for kind in (Cancelled, Draining, LeaseLost)}


class CarrierDied(Temporary):
    """The process that reads the site's data for this job ended unexpectedly."""

    code = "carrier_died"
    hint = "Look at the log and at the memory of the machine, then retry the job."


class CarrierStalled(Temporary):
    """The job has not advanced for too long, so it was stopped."""

    code = "carrier_stalled"
    hint = (
        "The site may have stopped sending anything new; the operator can allow more time with SITEFERRY_STALL_MINUTES."
    )


class CarrierOutOfMemory(Permanent):
    """The site's data needs more memory than a job may use."""

    code = "carrier_out_of_memory"
    hint = (
        "Leave out what is unusually large (options.exclude_tables, options.exclude_paths), or have the operator raise "
        "SITEFERRY_CARRIER_MEMORY_MB; then run the job again."
    )


class JobTooLong(Permanent):
    """The job has taken longer than a job may."""

    code = "job_too_long"
    hint = "Leave out what is large, or have the operator raise SITEFERRY_JOB_HOURS; then run the job again."


class SiteNotUnderstood(Permanent):
    """The site sent something that has not the form it must have."""

    code = "site_not_understood"
    hint = (
        "Look at what answers in the site's place (a plugin, a proxy), then run the job again. If the site is an "
        "ordinary one, this is a defect of Siteferry: report it with what the cloner's log says about this job."
    )

    def __init__(self) -> None:
        super().__init__("The site sent something that makes no sense to Siteferry.")


class CarrierFault(Exception):
    """An error nobody foresaw, inside a carrier; its text is the traceback there."""


class BadCarrier(Exception):
    """A carrier said what no carrier of ours says."""


def fault(error: BaseException) -> Fault:
    """An error as it crosses the pipe."""
    if isinstance(error, JobError):
        told: dict[str, Any] = {
            "kind": "job",
            "name": f"{type(error).__module__}:{type(error).__qualname__}",
            "message": error.message,
            "hint": error.hint,
        }
        after = getattr(error, "retry_after", None)
        if after is not None and after >= 0:
            told["retry_after"] = min(float(after), 86_400.0)
        with suppress(ValueError, TypeError):  # details that can not be told are not worth the error itself
            return Fault(**told, details=_bounded(json.loads(json.dumps(error.details, default=str))))
        return Fault(**told)
    if isinstance(error, MemoryError):
        return Fault(kind="memory")
    kind: Literal["misshapen", "unexpected"] = "misshapen" if isinstance(error, MISSHAPEN) else "unexpected"
    return Fault(kind=kind, trace="".join(traceback.format_exception(error)))


def raised(fault: Fault) -> Exception:
    """The error again. A class of ours that this process knows, with its own code; nothing is imported for it."""
    if fault.kind == "memory":
        return CarrierOutOfMemory()
    if fault.kind == "misshapen":
        return SiteNotUnderstood()
    if fault.kind == "unexpected":
        return CarrierFault(f"in a carrier:\n{fault.trace}")
    module, _, name = fault.name.partition(":")
    kind: Any = getattr(sys.modules.get(module), name, None)
    if not (isinstance(kind, type) and issubclass(kind, JobError)):
        return CarrierFault(f"in a carrier: {fault.name}: {fault.message}")
    error = kind.__new__(kind)
    JobError.__init__(error, fault.message, hint=fault.hint, **_bounded(fault.details))
    if isinstance(error, Temporary):
        error.retry_after = fault.retry_after
    return error


def _bounded(details: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(details)) > DETAILS:
        return {}
    return {name: value for name, value in details.items() if name not in {"self", "message", "hint"}}
