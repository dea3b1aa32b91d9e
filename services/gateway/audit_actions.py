"""What the audit log calls each operation that changes something or hands out something precious."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """`<area>.<verb>`, two tokens of the subject."""

    CLONE_REQUEST = "clone.request"
    CLONE_DELETE = "clone.delete"
    CLONE_EXTEND = "clone.extend"
    CLONE_RESET = "clone.reset"
    CLONE_REFRESH = "clone.refresh"
    CLONE_FORK = "clone.fork"
    CLONE_LOGIN_LINK = "clone.login-link"
    CLONE_MAIL = "clone.mail"
    VERSION_CREATE = "version.create"
    VERSION_DELETE = "version.delete"
    IMAGE_DELETE = "image.delete"
    CLONES_DELETE = "clones.delete"
    CLONES_EXTEND = "clones.extend"
    RESTORE_REQUEST = "restore.request"
    SITE_PREFLIGHT = "site.preflight"
    BATCH_REQUEST = "batch.request"
    BATCH_CANCEL = "batch.cancel"
    JOB_CANCEL = "job.cancel"
    JOB_RETRY = "job.retry"
    JOBS_CANCEL = "jobs.cancel"
    JOBS_RETRY = "jobs.retry"
    SNAPSHOT_ROLL_BACK = "snapshot.roll-back"
    SNAPSHOT_DISCARD = "snapshot.discard"
    WEBHOOK_CREATE = "webhook.create"
    WEBHOOK_DELETE = "webhook.delete"
    WEBHOOK_TEST = "webhook.test"
    SCHEDULE_CREATE = "schedule.create"
    SCHEDULE_REPLACE = "schedule.replace"
    SCHEDULE_DELETE = "schedule.delete"
    SCHEDULE_PAUSE = "schedule.pause"
    SCHEDULE_RESUME = "schedule.resume"
    SCHEDULE_FIRE = "schedule.fire"
    """A schedule makes a job for the key it belongs to; nobody calls."""
    KEY_CREATE = "key.create"
    KEY_ROTATE = "key.rotate"
    KEY_REVOKE = "key.revoke"
    DEFAULTS_CHANGE = "defaults.change"
    SESSION_BEGIN = "session.begin"
    SESSION_END = "session.end"
    SESSION_LINK = "session.link"
    SESSION_TICKET = "session.ticket"
    SESSION_REFUSED = "session.refused"
    """Somebody showed no key or session that is good, for whatever call."""


ACTIONS: dict[str, Action] = {
    "requestClone": Action.CLONE_REQUEST,
    "cloneAndWait": Action.CLONE_REQUEST,
    "deleteClone": Action.CLONE_DELETE,
    "extendClone": Action.CLONE_EXTEND,
    "resetClone": Action.CLONE_RESET,
    "refreshClone": Action.CLONE_REFRESH,
    "forkClone": Action.CLONE_FORK,
    "createVersion": Action.VERSION_CREATE,
    "deleteVersion": Action.VERSION_DELETE,
    "createLoginLink": Action.CLONE_LOGIN_LINK,
    "getCloneMail": Action.CLONE_MAIL,
    "deleteImage": Action.IMAGE_DELETE,
    "deleteClones": Action.CLONES_DELETE,
    "extendClones": Action.CLONES_EXTEND,
    "requestRestore": Action.RESTORE_REQUEST,
    "restoreAndWait": Action.RESTORE_REQUEST,
    "preflight": Action.SITE_PREFLIGHT,
    "requestBatch": Action.BATCH_REQUEST,
    "cancelBatch": Action.BATCH_CANCEL,
    "cancelJob": Action.JOB_CANCEL,
    "retryJob": Action.JOB_RETRY,
    "cancelJobs": Action.JOBS_CANCEL,
    "retryJobs": Action.JOBS_RETRY,
    "rollBack": Action.SNAPSHOT_ROLL_BACK,
    "discardSnapshot": Action.SNAPSHOT_DISCARD,
    "createWebhook": Action.WEBHOOK_CREATE,
    "deleteWebhook": Action.WEBHOOK_DELETE,
    "testWebhook": Action.WEBHOOK_TEST,
    "createSchedule": Action.SCHEDULE_CREATE,
    "replaceSchedule": Action.SCHEDULE_REPLACE,
    "deleteSchedule": Action.SCHEDULE_DELETE,
    "pauseSchedule": Action.SCHEDULE_PAUSE,
    "resumeSchedule": Action.SCHEDULE_RESUME,
    "createKey": Action.KEY_CREATE,
    "rotateKey": Action.KEY_ROTATE,
    "revokeKey": Action.KEY_REVOKE,
    "putDefaults": Action.DEFAULTS_CHANGE,
    "signIn": Action.SESSION_BEGIN,
    "signOut": Action.SESSION_END,
    "createSignInLink": Action.SESSION_LINK,
    "createTicket": Action.SESSION_TICKET,
}
"""By operation id: every operation but those with GET, and of those the one that shows a clone's mail."""
