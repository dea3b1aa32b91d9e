"""What each operation of the API needs of a key. One that is not listed here is refused to everybody."""

from __future__ import annotations

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as ScopeOfASGI

from services.gateway.access import authorise
from shared.contract.api_keys import Scope

READ, SUBMIT, ADMIN = Scope.READ, Scope.SUBMIT, Scope.ADMIN

OPEN = frozenset({"livez", "readyz", "metrics", "version", "getSession", "signIn", "signOut"})
"""Operations without a key: they tell nothing about jobs, or find out by themselves who calls."""

OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics", "/docs", "/docs.css", "/docs.js", "/openapi.json", "/version"})
"""Answered without a key and under any Host name: they tell nothing about jobs."""

NEEDED: dict[str, Scope] = {
    "requestClone": SUBMIT,
    "requestRestore": SUBMIT,
    "cloneAndWait": SUBMIT,
    "restoreAndWait": SUBMIT,
    "preflight": SUBMIT,
    "requestBatch": SUBMIT,
    "cancelBatch": SUBMIT,
    "listBatches": READ,
    "getBatch": READ,
    "listJobs": READ,
    "getJob": READ,
    "getJobStory": READ,
    "cancelJob": SUBMIT,
    "retryJob": SUBMIT,
    "retryJobs": SUBMIT,
    "cancelJobs": SUBMIT,
    "deleteClones": SUBMIT,
    "extendClones": SUBMIT,
    "getOperation": READ,
    "listClones": READ,
    "getClone": READ,
    "deleteClone": SUBMIT,
    "extendClone": SUBMIT,
    # a mail may hold a link that sets a new password, which is more than reading
    "listCloneMail": SUBMIT,
    "getCloneMail": SUBMIT,
    "createLoginLink": SUBMIT,
    "resetClone": SUBMIT,
    "refreshClone": SUBMIT,
    "forkClone": SUBMIT,
    "createVersion": SUBMIT,
    "listVersions": READ,
    "deleteVersion": SUBMIT,
    "listSchedules": READ,
    "getSchedule": READ,
    "createSchedule": SUBMIT,
    "replaceSchedule": SUBMIT,
    "deleteSchedule": SUBMIT,
    "pauseSchedule": SUBMIT,
    "resumeSchedule": SUBMIT,
    "listImages": READ,
    "deleteImage": SUBMIT,
    "listSnapshots": READ,
    "getSnapshot": READ,
    "rollBack": SUBMIT,
    "discardSnapshot": SUBMIT,
    "getStatistics": READ,
    "getCalls": READ,
    "listWorkers": ADMIN,
    # of the status service, which asks by itself
    "streamJob": READ,
    "openSocket": READ,
    "createTicket": READ,
    "createSignInLink": READ,
    "listWebhooks": READ,
    "getWebhook": READ,
    "listDeliveries": READ,
    "createWebhook": SUBMIT,
    "deleteWebhook": SUBMIT,
    "testWebhook": SUBMIT,
    "downloadConnector": READ,
    "listKeys": ADMIN,
    "getKey": ADMIN,
    "createKey": ADMIN,
    "rotateKey": ADMIN,
    "revokeKey": ADMIN,
    "listAudit": ADMIN,
    "getDefaults": READ,
    "putDefaults": ADMIN,
}


def scoped(route: BaseRoute) -> BaseRoute:
    """The route, which asks for the scope of its operation first. Whatever it does, it is not reached without."""
    if isinstance(route, APIRoute) and route.operation_id not in OPEN and not isinstance(route.app, _Scoped):
        route.app = _Scoped(route.app, NEEDED.get(route.operation_id or ""))
    return route


class _Scoped:
    """What answers at a route, behind the question for the scope."""

    def __init__(self, app: ASGIApp, needed: Scope | None) -> None:
        self._app = app
        self._needed = needed

    async def __call__(self, scope: ScopeOfASGI, receive: Receive, send: Send) -> None:
        if scope["path"] not in OPEN_PATHS:
            authorise(scope["state"]["principal"], self._needed)
        await self._app(scope, receive, send)
