"""Opens the finished clone as its visitors and its administrator will: compared with the source, like with like.

Every request goes to the clone's own server through the edge, or to the source; what leads elsewhere is told, never
followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import httpx2

from services.cloner.errors import ClonePhpDies, CloneUnhealthy
from services.cloner.run import CloneRun
from shared.contract.jobs import Note
from shared.errors import JobError, Temporary
from shared.wordpress.errors import (
    CaptchaRequired,
    LoginHidden,
    SignInError,
    SiteBroken,
    SsoOnly,
    TwoFactorRequired,
    UnknownUser,
    WrongPassword,
)
from shared.wordpress.http import site_client
from shared.wordpress.markup import words
from shared.wordpress.page import CRITICAL, Page, fetch_at_home
from shared.wordpress.probe import SiteAddress, origin_of
from shared.wordpress.signin import AdminSession, sign_in

PART = "siteferry-part"
"""The header of an answer that is not the site's: a part of ours gave it in the place of the clone's PHP."""
EDGE_SAYS = (502, 504)
PAUSES = (0.5, 2.0, 5.0)
"""Seconds between tries to hear the clone itself."""
VISITORS = 2
"""Requests to the clone at the same time."""
LOGIN_GUARDS = (TwoFactorRequired, CaptchaRequired, LoginHidden, SsoOnly)
BY_EMAIL = (UnknownUser, WrongPassword)
MOST_SAMPLES = 20
MESSAGES = {
    "pages_failing": "Pages that fail on the clone, but not on the source",
    "pages_leave_clone": "Addresses of the clone that lead to another server; nobody followed them",
    "login_guarded": "The clone's login is guarded as the source's is",
    "login_unproven": "Nobody could sign in to the clone to try it; the copy itself is complete",
    "admin_failing": "The clone's wp-admin fails",
    "rest_unavailable": "The clone's REST interface does not answer; the source may have it switched off",
}


@dataclass(frozen=True)
class Finding:
    """Something the result should tell: a code of `MESSAGES`, and what it is about."""

    code: str
    sample: str


def visit(run: CloneRun, paths: list[str], email: str) -> list[Note]:
    """Open the home page, then the others, sign in and ask REST, some at the same time. Raises CloneUnhealthy.

    `email`: the address of the clone's administrator, for sites that take nothing else for a name.
    """
    with (
        site_client(allow_private=True, only=(run.target.url,), check=run.token.check) as clone,
        run.visitor() as source,
        ThreadPoolExecutor(VISITORS, thread_name_prefix="visit") as visitors,
    ):
        run.context.report(done=0, total=len(paths) + 3, unit="pages", message="Opening /")
        found = [_open_page(run, clone, source, "/", required=True)]  # alone: PHP compiles WordPress only once
        looks: list[tuple[str, Callable[[], Finding | None]]] = [
            ("Signing in to the clone", partial(_sign_in, run, email)),
            *((f"Opening {path}", partial(_open_page, run, clone, source, path, required=False)) for path in paths),
            ("Asking the clone's REST interface", partial(_rest, run, clone)),
        ]
        answers = [visitors.submit(look) for _, look in looks]
        try:
            for done, ((message, _), answer) in enumerate(zip(looks, answers, strict=True), start=1):
                run.context.report(done=done, message=message)
                found.append(answer.result())
        except BaseException:
            visitors.shutdown(wait=False, cancel_futures=True)
            raise
        run.context.report(done=len(looks) + 1)
    return notes(finding for finding in found if finding is not None)


def notes(findings: Iterable[Finding]) -> list[Note]:
    """One note for each code, with what it is about. Pure."""
    samples: dict[str, list[str]] = {}
    for finding in findings:
        samples.setdefault(finding.code, []).append(finding.sample)
    return [
        Note(code=code, message=MESSAGES[code], count=len(about), samples=about[:MOST_SAMPLES])
        for code, about in samples.items()
    ]


def failure(page: Page) -> str:
    """How a page fails, as the end of a sentence; "" when it does not. Pure."""
    said = words(page.died, most=200) if page.died else ""
    if page.status >= 500:
        return f"answers HTTP {page.status}{f' and says: {said}' if said else ''}"
    return f"says: {said}" if said and CRITICAL.search(page.died) else ""


def silent(page: Page) -> bool:
    """Whether it is not the clone that answered but our web server, as PHP or the cell was gone. Pure."""
    return PART in page.headers or (page.status in EDGE_SAYS and page.headers.get("server") == "Caddy")


def breaks_off(page: Page) -> bool:
    """Whether a page of HTML ends before its end. Pure."""
    is_html = page.headers.get("content-type", "").startswith("text/html")
    return is_html and page.status == 200 and not page.truncated and not page.outline.ends


def leads_away(page: Page) -> str:
    """The other server a page redirects to; "" when it does not. Pure."""
    return "" if page.location is None else origin_of(page.location)


def _open_page(
    run: CloneRun, clone: httpx2.Client, source: httpx2.Client, path: str, *, required: bool
) -> Finding | None:
    run.token.check()
    ours = _hear(run, clone, run.target.url + path)
    if required and silent(ours):
        raise ClonePhpDies(
            f"The clone's PHP does not answer for its home page (HTTP {ours.status}).", status=ours.status
        )
    if away := leads_away(ours):
        return Finding("pages_leave_clone", f"{path} -> {away}")
    wrong = failure(ours)
    if not wrong and not breaks_off(ours):
        return None
    theirs = fetch_at_home(source, run.site.home.rstrip("/") + path, guarded=False)
    if failure(theirs) if wrong else breaks_off(theirs):
        return None  # as on the source: a coming-soon page, a theme without an end
    wrong = wrong or "breaks off before its end"
    said = run.target.php_error()
    if required:
        text = f"The clone's home page {wrong}; the source's does not.{f' PHP says: {said}' if said else ''}"
        raise CloneUnhealthy(text, status=ours.status, php_error=said)
    return Finding("pages_failing", f"{path} {wrong}{f' ({said})' if said else ''}")


def _hear(run: CloneRun, http: httpx2.Client, url: str) -> Page:
    """A page of the clone. A process of it that has just died is no word of the site: it is asked again."""
    page = fetch_at_home(http, url, guarded=False)
    for pause in PAUSES:
        if not silent(page):
            break
        run.token.sleep(pause)
        page = fetch_at_home(http, url, guarded=False)
    return page


def _sign_in(run: CloneRun, email: str) -> Finding | None:
    """Sign in as the clone's administrator and open wp-admin."""
    run.token.check()
    with site_client(allow_private=True, only=(run.target.url,), check=run.token.check) as http:
        try:
            session = _signed_in(run, http, email)
        except LOGIN_GUARDS as error:
            # The site's own guard, unknown to our table: the copy is right, and its owner knows the way in.
            return Finding("login_guarded", error.message)
        except SiteBroken as error:
            said = run.target.php_error()
            text = f"Signing in to the finished clone failed: {error.message}{f' PHP says: {said}' if said else ''}"
            raise CloneUnhealthy(text, reason=error.code, php_error=said) from error
        except Temporary:
            raise
        except JobError as error:
            # A plugin that approves users, renames cookies or leads to another server has its say on the clone too.
            return Finding("login_unproven", error.message)
        # Not the dashboard: it would leave a draft in the clone.
        page = _hear(run, http, f"{session.site.admin_url}profile.php")
        wrong = failure(page)
        said = run.target.php_error() if wrong else ""
        return Finding("admin_failing", f"wp-admin {wrong}{f' ({said})' if said else ''}") if wrong else None


def _signed_in(run: CloneRun, http: httpx2.Client, email: str) -> AdminSession:
    url, below = run.target.url, run.state.get("wordpress_path", "")
    core = f"{url}/{below}".rstrip("/")
    address = SiteAddress(url, core, f"{core}/wp-login.php", login_found=True)
    password = run.secrets.administrator
    try:
        return sign_in(http, address, run.state["username"], password)
    except BY_EMAIL as refused:
        # Some sites take an e-mail address only. It is our own clone: a second try locks nobody out.
        http.cookies.clear()
        try:
            return sign_in(http, address, email, password)
        except SignInError:
            raise refused from None


def _rest(run: CloneRun, clone: httpx2.Client) -> Finding | None:
    """The REST index answers; a site that switched REST off on purpose keeps it off."""
    page = _hear(run, clone, f"{run.target.url}/?rest_route=/")
    is_json = page.headers.get("content-type", "").startswith("application/json")
    if page.status == 200 and is_json:
        return None
    return Finding("rest_unavailable", f"HTTP {page.status}")
