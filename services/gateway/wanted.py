"""Which jobs and clones of a tenant somebody means: for lists, and for what is done to many. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from services.gateway.listing import has_words, words_in
from shared.contract.jobs import Clone, Job
from shared.contract.subjects import Kind


def jobs(
    tenant: str,
    *,
    type: Kind | None = None,
    source: str | None = None,
    target: str | None = None,
    batch: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    error: str | None = None,
    q: str | None = None,
) -> Callable[[Job], bool]:
    """Whether a job is the tenant's and fits everything that is said."""
    words = words_in(q)

    def wanted(job: Job) -> bool:
        return (
            job.tenant == tenant
            and (type is None or job.type == type)
            and (not source or source.lower() in job.source_url.lower())
            and (not target or target.lower() in job.target_url.lower())
            and (batch is None or job.batch_id == batch)
            and (created_after is None or job.created_at > created_after)
            and (created_before is None or job.created_at < created_before)
            and (error is None or (job.error is not None and job.error.code == error))
            and (not words or _job_has(job, words))
        )

    return wanted


def _job_has(job: Job, words: list[str]) -> bool:
    texts = (job.name or "", job.source_url, job.target_url, job.message)
    return has_words(words, texts=texts, ids=(job.job_id, job.batch_id or "", job.schedule_id or ""))


def clones(
    tenant: str,
    *,
    source: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    ends_before: datetime | None = None,
    q: str | None = None,
) -> Callable[[Clone], bool]:
    """Whether a clone is the tenant's and fits everything that is said."""
    words = words_in(q)

    def wanted(clone: Clone) -> bool:
        return (
            clone.tenant == tenant
            and (not source or source.lower() in clone.source_url.lower())
            and (created_after is None or clone.created_at > created_after)
            and (created_before is None or clone.created_at < created_before)
            and (ends_before is None or (clone.expires_at is not None and clone.expires_at < ends_before))
            and (not words or has_words(words, texts=(clone.name or "", clone.source_url), ids=(clone.clone_url,)))
        )

    return wanted
