"""Signing in to wp-admin like a person with a browser would, over plain HTTP.

One try only: a second one could lock the account. Every request stays on the origin the site was found at; links that
WordPress makes with another host (siteurl behind a proxy, staging copies) are brought home to it.
"""

from __future__ import annotations

import html
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2

from shared.wordpress.errors import (
    CaptchaRequired,
    CookiesBlocked,
    LoginHidden,
    LoginLockedOut,
    SessionLost,
    SignInError,
    SignInRefused,
    SiteBroken,
    SsoOnly,
    TwoFactorRequired,
    UnknownUser,
    WrongPassword,
)
from shared.wordpress.markup import words as plain
from shared.wordpress.outline import Form
from shared.wordpress.page import Page, fetch, refuse_trouble
from shared.wordpress.probe import SiteAddress, is_login_page, origin_of

LOGGED_IN_COOKIE = "wordpress_logged_in_"
LONGEST_NAME = 200
AGAIN = 3
"""Times a page of wp-admin is asked for again when another one comes in its place."""
SIGN_INS = 4
PAUSES = (1.0, 5.0)
"""Seconds before another sign-in, at random: jobs that took each other's session shall not do so again."""
T = TypeVar("T")
ASKS = {"confirm_admin_email"}
"""Questions of the login page to somebody who is signed in."""
LONGEST_MARKUP = 20_000

TWO_FACTOR_FIELD = re.compile(
    r"""(authcode|two-factor-email-code|two_factor_|wp-auth-nonce|wp_2fa|wp-2fa|wfls-token|wf2fa|"""
    r"""googleotp|googleauthenticator|mo2fa?_|otp_token|otp_code|itsec_two_factor|sgs?_2fa|rublon|2fa_code|tfa_code)""",
    re.IGNORECASE,
)
TWO_FACTOR_MARK = re.compile(
    r"validate_2fa_form|wp-2fa-authcode|sg-security-2fa|duo_iframe|simba_two_factor|simbatfa", re.IGNORECASE
)
CAPTCHA_CLASS = re.compile(
    r"(.*\b)?(g-recaptcha|h-captcha|cf-turnstile|frc-captcha|aiowps-captcha|anr_captcha_field)\b", re.IGNORECASE
)
CAPTCHA_FIELD = re.compile(
    r"""(g-recaptcha-response|h-captcha-response|cf-turnstile-response|captcha\w*|aiowps-captcha\w*|"""
    r"""cptch_\w+|si_captcha_code|siteguard_captcha|wfls-captcha-token|math_captcha\w*|mc-value)""",
    re.IGNORECASE,
)

# Words of the site -> what they mean; first match wins. English plus what core's markup gives away in any language.
LOCKED = re.compile(
    r"too many|locked (out|down)|lockout|temporarily (blocked|disabled|locked)|ip (address )?(has been |is )?(blocked|"
    r"banned)|exceeded (the )?max|try again (in|after) \d+|have been blocked|zu viele|trop de|demasiados",
    re.IGNORECASE,
)
SECOND_FACTOR_WORDS = re.compile(
    r"2fa|two[- ]factor|two[- ]step|authenticat(or|ion) code|verification (code|required)|code required|one[- ]time",
    re.IGNORECASE,
)
CAPTCHA_WORDS = re.compile(r"captcha|turnstile|not a (ro)?bot|are you human|human verification", re.IGNORECASE)
COOKIE_WORDS = re.compile(r"cookies? (are|is|have been)? ?(blocked|disabled|not supported)", re.IGNORECASE)
UNKNOWN_WORDS = re.compile(
    r"unknown (username|user|e-?mail)|is not registered|no (user|account) (found|with)|invalid username\.",
    re.IGNORECASE,
)
WRONG_WORDS = re.compile(
    r"password\b.*\b(incorrect|wrong|invalid|not match)|(incorrect|wrong|invalid)\b.*\b(password|credentials)",
    re.IGNORECASE,
)


@dataclass
class AdminSession:
    """A signed-in visit to wp-admin. `client` holds the cookies; `site` says where everything is."""

    client: httpx2.Client
    site: SiteAddress
    username: str
    _rest_nonce: str | None = field(default=None, repr=False)

    def url(self, link: str) -> str:
        """A link of an admin page, brought home to our own origin. Links outside wp-admin give `ValueError`."""
        target = httpx2.URL(self.site.admin_url).join(link)
        _, inside, rest = target.path.rpartition("/wp-admin/")
        if not inside:
            raise ValueError("not a link into wp-admin")
        return str(httpx2.URL(self.site.admin_url + rest).copy_with(query=target.query or None))

    def get(self, link: str) -> Page:
        """GET a page of wp-admin; redirects inside wp-admin's network screens are followed. Raises `SessionLost`.

        Any other redirect is a page that a plugin shows once (welcome, set-up): what was asked for is asked for again.
        One that stays is given back.
        """
        page = self.request("GET", link)
        for _ in range(AGAIN):
            target = page.location
            if target is None:
                break
            network = "/wp-admin/network/" in target.path
            page = self.request("GET", str(target) if network else link)
        return page

    def request(self, method: str, link: str, **request: Any) -> Page:
        """One request to wp-admin with a same-site Referer.

        Raises `SessionLost` when it ends at the login form, and what `refuse_trouble` raises.
        """
        headers = {"Referer": self.site.admin_url, **request.pop("headers", {})}
        page = fetch(self.client, method, self.url(link), headers=headers, **request)
        refuse_trouble(page, may_refuse=method == "POST")
        target = page.location
        asked = target is not None and target.params.get("action") in ASKS
        if is_login_page(page) or (target is not None and is_login_url(target, self.site) and not asked):
            raise SessionLost()
        return page

    def rest(self, method: str, route: str, **request: Any) -> Page:
        """A REST call as this user, e.g. `rest("DELETE", "/wp/v2/plugins/x/x")`; any status is returned.

        Goes through `?rest_route=`, which plain permalinks serve too, and sends PUT and DELETE as an overridden POST,
        which more hosts let through.
        """
        headers = {"X-WP-Nonce": self.rest_nonce(), **request.pop("headers", {})}
        if method not in ("GET", "POST"):
            headers["X-HTTP-Method-Override"], method = method, "POST"
        return fetch(self.client, method, f"{self.site.home}/?rest_route={route}", headers=headers, **request)

    def rest_nonce(self) -> str:
        """The nonce REST wants beside the cookies; "" when the site gives none."""
        if self._rest_nonce is None:
            page = fetch(self.client, "GET", self.url("admin-ajax.php?action=rest-nonce"))
            if page.status != 400:  # "0", from a site that does not know the action
                refuse_trouble(page)
            self._rest_nonce = page.text[:100].strip() if re.fullmatch(r"[0-9a-f]{10}", page.text[:100].strip()) else ""
        return self._rest_nonce


def sign_in(client: httpx2.Client, site: SiteAddress, username: str, password: str) -> AdminSession:
    """Sign in once. Raises a `SignInError`, `HostChallenge`, `BasicAuthRequired` or a transport error.

    No exception and no log line holds the password.
    """
    page, form = _login_form(client, site)
    answer = _submit(client, site, page, form, username, password)
    session = AdminSession(client, site, username)
    if any(name.startswith(LOGGED_IN_COOKIE) for name in client.cookies):
        # A 302 to the admin e-mail check or anywhere else: the cookies are what counts.
        return session
    if _opens_admin(session, answer):
        return session
    raise _refusal(answer, site, username, password)


class Desk:
    """Signs in to a site when somebody needs it, and anew when the session ends on the way. One thread at a time.

    WordPress keeps all sessions of a user in one row that it reads and writes back whole, so of two sign-ins at the
    same moment one is lost (WP_User_Meta_Session_Tokens::update_sessions); some plugins allow one session a user. The
    password was right by then: signing in once more locks nobody out.
    """

    def __init__(self, open_session: Callable[[], AdminSession], sleep: Callable[[float], None]) -> None:
        """`open_session` signs in; `sleep` pauses and may raise when the work is to stop."""
        self._open = open_session
        self._sleep = sleep
        self._session: AdminSession | None = None

    def session(self) -> AdminSession:
        """Signed in, once. Raises the SignInError family."""
        if self._session is None:
            self._session = self._open()
        return self._session

    def work(self, task: Callable[[AdminSession], T]) -> T:
        """Do something idempotent in wp-admin. Raises what it raises; `SessionLost` after so many sign-ins."""
        for _ in range(SIGN_INS - 1):
            session = self.session()
            try:
                return task(session)
            except SessionLost:
                session.client.cookies.clear()
                self._session = None
                self._sleep(random.uniform(*PAUSES))
        return task(self.session())


def _opens_admin(session: AdminSession, answer: Page) -> bool:
    """Whether a login that WordPress answered as it answers a right one opens wp-admin: cookies can be renamed."""
    target = answer.location
    if target is None or "set-cookie" not in answer.headers or not target.path.startswith(_admin_path(session.site)):
        return False
    try:
        return session.request("GET", "profile.php").status == 200
    except (SessionLost, SiteBroken):
        return False


def _admin_path(site: SiteAddress) -> str:
    return httpx2.URL(site.admin_url).path


def open_login_page(client: httpx2.Client, site: SiteAddress) -> Page:
    """The login page as `sign_in` would find it; sends nothing. Raises what `sign_in` raises before it submits."""
    return _login_form(client, site)[0]


def wants_second_factor(page: Page) -> bool:
    """Whether a page has the marks of a second factor."""
    return TWO_FACTOR_MARK.search(page.text) is not None or _any(TWO_FACTOR_FIELD.match, page.outline.names)


def wants_captcha(page: Page) -> bool:
    """Whether a page has the marks of a captcha."""
    return _any(CAPTCHA_FIELD.fullmatch, page.outline.names) or _any(CAPTCHA_CLASS.match, page.outline.classes)


def _any(fits: Callable[[str], object], values: Iterable[str]) -> bool:
    return any(len(value) <= LONGEST_NAME and fits(value) for value in values)


def _login_form(client: httpx2.Client, site: SiteAddress) -> tuple[Page, Form]:
    """The login page, whose request also brings WordPress's test cookie, and the form on it."""
    page = fetch(client, "GET", site.login_url)
    for _ in range(3):
        target = page.location
        if target is None:
            break
        if not _same_site(target, site):
            if is_login_url(target, site) or target.path == page.url.path:
                break  # siteurl on another host: never followed
            raise SsoOnly(f"The login page leads to another server, {target.host}.", server=target.host)
        page = fetch(client, "GET", target)
    refuse_trouble(page)
    forms = [form for form in page.forms() if {"log", "pwd"} <= form.fields.keys()]
    if page.status != 200 or not forms:
        if page.status == 429 or LOCKED.search(page.message() or page.title):
            raise LoginLockedOut(f"The site has locked sign-in: {page.message() or page.title}")
        raise LoginHidden(f"There is no login form at {site.login_url} (status {page.status}).", status=page.status)
    if wants_captcha(page):
        raise CaptchaRequired()
    return page, forms[0]


def _submit(client: httpx2.Client, site: SiteAddress, page: Page, form: Form, username: str, password: str) -> Page:
    hidden = {name: value for name, value in form.fields.items() if name not in ("log", "pwd", "rememberme")}
    fields = hidden | {
        "log": username,
        "pwd": password,
        "wp-submit": hidden.get("wp-submit") or "Log In",
        "redirect_to": f"{site.admin_url}plugin-install.php?tab=upload",
        "testcookie": "1",
    }
    # The form's own path (hidden logins post to theirs), on our own origin.
    action = page.url.join(form.action or str(page.url))
    target = page.url.copy_with(raw_path=action.raw_path) if not _same_site(action, site) else action
    headers = {"Referer": str(page.url), "Origin": origin_of(page.url)}
    return fetch(client, "POST", target, data=fields, headers=headers)


def _refusal(answer: Page, site: SiteAddress, username: str, password: str) -> SignInError:
    """Why an answer without a session cookie came, in the site's own words where it has any.

    Raises what `refuse_trouble` raises, when the answer is not about the login at all.
    """
    refuse_trouble(answer, may_refuse=True)
    target = answer.location
    if target is not None and not _same_site(target, site):
        return SsoOnly(f"The login form leads to another server, {target.host}.", server=target.host)
    if wants_second_factor(answer) or (target is not None and SECOND_FACTOR_WORDS.search(str(target))):
        return TwoFactorRequired()
    markup = answer.login_error[:LONGEST_MARKUP]
    words = without_secret(plain(markup) or answer.message(), password)[:300]
    said = f": {words}" if words else "."
    if LOCKED.search(words) or answer.status == 429:
        return LoginLockedOut(f"The site has locked sign-in{said}")
    if COOKIE_WORDS.search(words):
        return CookiesBlocked(f"The site did not accept our cookies{said}")
    if CAPTCHA_WORDS.search(words):
        return CaptchaRequired(f"The login form is guarded by a captcha{said}")
    if UNKNOWN_WORDS.search(words):
        return UnknownUser(f"The site does not know this user{said}")
    # Core's "password is incorrect" names the user in <strong> and links to the reset form, in every language.
    named = f"<strong>{html.escape(username)}</strong>" in markup and "action=lostpassword" in markup
    if named or WRONG_WORDS.search(words):
        return WrongPassword(f"The site refused the password{said}")
    if SECOND_FACTOR_WORDS.search(words):
        return TwoFactorRequired(f"The site asks for a second factor{said}")
    if not words and target is not None:
        return SignInRefused("The site sent us on without signing us in.", status=answer.status)
    return SignInRefused(f"The site refused to sign this user in{said}", status=answer.status)


def without_secret(text: str, secret: str) -> str:
    """`text` with every spelling of the secret blotted out, should a site repeat what was typed."""
    for spelling in sorted({secret, html.escape(secret), secret.strip(), plain(secret)}, key=len, reverse=True):
        if spelling:
            text = text.replace(spelling, "[hidden]")
    return text


def is_login_url(url: httpx2.URL, site: SiteAddress) -> bool:
    """Whether a redirect leads to the login form (WordPress's own or the one given)."""
    return url.path.endswith("/wp-login.php") or url.path == httpx2.URL(site.login_url).path


def _same_site(url: httpx2.URL, site: SiteAddress) -> bool:
    """Same host, or its www twin; http and https count as one."""
    ours = httpx2.URL(site.siteurl)
    return url.host.removeprefix("www.") == ours.host.removeprefix("www.")
