"""What a kind of job is made of, and how its steps add up to a progress bar."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from shared.contract.jobs import Result, Step, StepState
from shared.contract.subjects import Kind

if TYPE_CHECKING:
    from shared.engine.context import JobContext

ALMOST = 99.0
"""Progress of a job whose steps are all done but which has not ended yet."""


@dataclass(frozen=True)
class StepSpec:
    """One named, idempotent step: a job killed anywhere inside runs it again, with `context.state` as last saved."""

    name: str
    title: str
    """What a person reads while it runs."""
    weight: float
    """Share of the whole job's progress, relative to the other steps."""
    run: Callable[[JobContext], Awaitable[None]]
    undo: Callable[[JobContext], Awaitable[None]] | None = None
    """Removes what `run` makes, also half-made and also when called twice. Run in reverse order when a job ends
    without success, for every step that was begun."""
    proof: bool = False
    """Its findings count only when no part of ours was away while it looked: otherwise it looks again."""
    max_tries: int = 3
    """Temporary failures of this step before the job fails. Crashes of a worker do not count."""


class Workflow(Protocol):
    """A kind of job."""

    kind: Kind

    def steps(self, command: Any) -> Sequence[StepSpec]:
        """The steps of this command of its kind, in order; the same for the same command, always."""
        ...

    async def finish(self, context: JobContext) -> Result:
        """The result, after the last step. Idempotent; may schedule the expiry."""
        ...

    async def cleanup(self, context: JobContext) -> None:
        """The last removals after a failure or a cancel, after the undos. Idempotent."""
        ...


def fraction(step: Step) -> float:
    """How much of a step is done, 0 to 1."""
    if step.state in {StepState.DONE, StepState.SKIPPED}:
        return 1.0
    if step.state is StepState.PENDING or not step.total:
        return 0.0
    return min(1.0, max(0.0, step.done / step.total))


def overall(steps: Iterable[Step], weights: Mapping[str, float]) -> float:
    """Progress of a job that has not ended, 0 to `ALMOST`, rounded to what a person can see."""
    known = [(weights.get(step.name, 0.0), fraction(step)) for step in steps]
    total = sum(weight for weight, _ in known)
    if not total:
        return 0.0
    return round(min(ALMOST, 100.0 * sum(weight * done for weight, done in known) / total), 2)


def fresh(specs: Sequence[StepSpec]) -> list[Step]:
    """The list of steps before the first one runs."""
    return [Step(name=spec.name, title=spec.title) for spec in specs]


def reconciled(specs: Sequence[StepSpec], known: Sequence[Step]) -> list[Step]:
    """The steps of a resumed job. A newer release may have other steps: those that still exist keep their state."""
    before = {step.name: step for step in known}
    return [before.get(spec.name) or Step(name=spec.name, title=spec.title) for spec in specs]
