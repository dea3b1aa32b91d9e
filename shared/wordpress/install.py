"""Installing the connector through wp-admin's upload form, and removing it without the connector's help."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

import httpx2

from shared.errors import JobError
from shared.wordpress.errors import (
    PAIRING_HINT,
    ActivationFailed,
    FileModsDisallowed,
    FilesystemNotDirect,
    InstallerBroken,
    InstallError,
    NotAdministrator,
    PluginsNotWritable,
    RemovalFailed,
    SiteBroken,
    UploadRejected,
    UploadTooLarge,
)
from shared.wordpress.markup import words as plain
from shared.wordpress.outline import WRAP, Form
from shared.wordpress.page import Page
from shared.wordpress.signin import AdminSession

DIRECTORY = "siteferry-connector"
PLUGIN_FILE = f"{DIRECTORY}/{DIRECTORY}.php"
UPLOAD_PAGE = "plugin-install.php?tab=upload"
UPLOAD_SCREEN = "plugin-install-php"
FINISH_HINT = (
    "Sign in with a browser and finish what the site asks for there (a profile, a confirmation, a set-up); then run "
    f"the job again. {PAIRING_HINT}"
)
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
FTP_FORMS = {"request-filesystem-credentials-form", "request-filesystem-credentials-dialog"}
NOT_WRITABLE = re.compile(
    r"could not (create|copy|remove|move)|unable to create|not writable|writable by the server|disk|failed to write",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Installed:
    """What `install_connector` found and did. `plugin` is WordPress's name of it, `directory/file.php`."""

    plugin: str
    was_there: bool
    replaced: bool
    activated: bool


def install_connector(
    session: AdminSession, zip_bytes: bytes, *, plugin: str = PLUGIN_FILE, overwrite: bool = True
) -> Installed:
    """Upload and activate the connector. A copy already there is replaced, or kept with `overwrite=False`.

    Idempotent: running it again ends in the same state. Raises an `InstallError`, `SessionLost` or a transport error;
    after a failure the archive and the files are removed again as far as the site lets us. (When the plugins directory
    can not be written, WordPress keeps its unpacked copy in wp-content/upgrade until the next update of anything.)
    """
    installed, page = _upload(session, zip_bytes, plugin, overwrite=overwrite)
    if installed is None and _folder_in_the_way(page, plugin):
        # Half a plugin, of an installation that broke off: WordPress neither lists nor replaces it, but deletes it.
        cleared = _cleared(session, plugin)
        installed, page = _upload(session, zip_bytes, plugin, overwrite=overwrite, whatever_is_there=not cleared)
    if installed is None:
        _discard_archive(session, plugin)
        raise _rejection(session, page, len(zip_bytes))
    return installed


def _upload(
    session: AdminSession, zip_bytes: bytes, plugin: str, *, overwrite: bool, whatever_is_there: bool = False
) -> tuple[Installed | None, Page]:
    """One upload, activated; None with the page that WordPress answered when the plugin is not there afterwards.

    `whatever_is_there`: replace the folder without asking what is in it (WordPress 5.5 and newer).
    """
    form = _upload_form(session, session.get(UPLOAD_PAGE))
    action = f"{form.action}&overwrite=update-plugin" if whatever_is_there else form.action
    try:
        page = _send(session, form, action, plugin, zip_bytes)
    except SiteBroken as broken:
        _forget_unpacked(session, form, plugin)
        raise InstallerBroken(f"The site's installer of plugins broke off: {broken}") from broken
    replace, cancel = _link(page, "overwrite="), _link(page, "action=upload-plugin-cancel-overwrite")
    was_there = replace is not None
    if replace is not None and overwrite:
        page = session.request("GET", replace)
    elif cancel is not None:
        session.request("GET", cancel)  # the pending archive is an attachment until then
    activate = _link(page, "action=activate", plugin)
    if activate is not None:
        _activate(session, activate, plugin)
    elif (was_there or whatever_is_there) and _is_listed(session, plugin):
        activated = _activate_existing(session, plugin)  # what was replaced may have been a broken, switched-off copy
        return Installed(plugin, was_there, was_there and overwrite, activated), page
    else:
        return None, page
    return Installed(plugin, was_there, was_there, True), page


def _send(session: AdminSession, form: Form, action: str, plugin: str, zip_bytes: bytes) -> Page:
    return session.request(
        "POST",
        action,
        data=form.fields | {"install-plugin-submit": "Install Now"},
        files={"pluginzip": (f"{_folder(plugin)}.zip", zip_bytes, "application/zip")},
    )


def _forget_unpacked(session: AdminSession, form: Form, plugin: str) -> None:
    """Get rid of what an installation that broke off has left, best effort: the archive, and what was unpacked of it.

    WordPress empties its working directory before it unpacks the next archive; of this one an empty folder stays.
    """
    with suppress(JobError):
        _send(session, form, form.action, plugin, EMPTY_ZIP)
    _discard_archive(session, plugin)


def _folder(plugin: str) -> str:
    return plugin.partition("/")[0]


def _folder_in_the_way(page: Page, plugin: str) -> bool:
    """Whether WordPress names the plugin's folder where it says why it failed: its words differ by language."""
    return page.status == 200 and f"/{_folder(plugin)}/" in (_result_text(page) or page.message())


def _cleared(session: AdminSession, plugin: str) -> bool:
    try:
        clear_folder(session, plugin=plugin)
    except RemovalFailed:
        return False
    return True


def clear_folder(session: AdminSession, *, plugin: str = PLUGIN_FILE) -> None:
    """Delete the plugin's folder even if WordPress sees no plugin in it. Idempotent.

    WordPress deletes the folder of whatever inactive plugin it is told, listed or not. Raises `RemovalFailed` when this
    user may not delete plugins or the files stay.
    """
    page = _plugins_screen(session)
    if page.status != 200:
        raise RemovalFailed(f"The plugins screen answers with status {page.status}.", status=page.status)
    _delete(session, page, plugin)


def remove_connector(session: AdminSession, *, plugin: str = PLUGIN_FILE) -> bool:
    """Deactivate and delete the connector through REST, else through the plugins screen. Idempotent.

    What an installation left that was broken off goes too, though WordPress does not list it. Returns whether there was
    a plugin to remove. Raises `RemovalFailed` when it is still there afterwards.
    """
    if session.rest_nonce():
        try:
            removed = _remove_by_rest(session, plugin)
        except JobError:
            removed = None
        if removed:
            return True
    return _remove_by_screen(session, plugin)


def check_may_install(session: AdminSession) -> Page:
    """Whether this user can upload a plugin here; the page with the form.

    Raises the InstallError `install_connector` would begin with.
    """
    page = session.get(UPLOAD_PAGE)
    _upload_form(session, page)
    return page


def _upload_form(session: AdminSession, page: Page) -> Form:
    for form in page.forms():
        if "pluginzip" in form.fields and form.fields.get("_wpnonce"):
            if _asks_for_ftp(page):
                raise FilesystemNotDirect()
            action = str(page.url.join(form.action or "update.php?action=upload-plugin"))
            return Form({"action": action}, {name: form.fields[name] for name in form.fields if name.startswith("_wp")})
    if (target := page.location) is not None:
        where = str(target).rpartition("/wp-admin/")[2][:200]
        raise InstallError(f"wp-admin leads {session.username} to {where}, whatever is asked for.", hint=FINISH_HINT)
    if page.status != 403 and UPLOAD_SCREEN not in page.outline.body_classes:
        said = page.message() or page.title
        raise InstallError(f"There is no upload form in wp-admin{f': {said}' if said else '.'}", status=page.status)
    raise _why_not_allowed(session)


def _asks_for_ftp(page: Page) -> bool:
    return "hostname" in page.outline.names or not FTP_FORMS.isdisjoint(page.outline.ids)


def is_network_page(page: Page) -> bool:
    """Whether this admin page belongs to a WordPress network."""
    return "multisite" in page.outline.body_classes


def _why_not_allowed(session: AdminSession) -> InstallError:
    """Tell "not you" from "nobody": an administrator still has the other screens when file changes are switched off."""
    plugins = session.get("plugins.php")
    settings = session.get("options-general.php")
    if is_network_page(plugins) or is_network_page(settings):
        network = session.get("network/plugins.php")
        if network.status != 200:
            return NotAdministrator(f"{session.username} is not a Super Admin of this network.")
        return FileModsDisallowed()
    if plugins.status == 200 and settings.status == 200:
        return FileModsDisallowed()
    return NotAdministrator(f"{session.username} may not install plugins on this site.")


def _link(page: Page, *parts: str) -> str | None:
    """The first link whose decoded address holds all parts, absolute (network screens have relative ones)."""
    for link in page.links():
        if all(part in unquote(link) for part in parts):
            return str(page.url.join(link))
    return None


def _activate(session: AdminSession, link: str, plugin: str) -> None:
    try:
        answer = session.request("GET", link)
    except SiteBroken as error:
        raise _not_activated(session, plugin, f": {error.message}") from error
    target = answer.location
    # Output during activation ("charsout") is only noise some other plugin made: WordPress has activated it.
    if target is not None and ("error=true" not in str(target) or "charsout=" in str(target)):
        return
    words = _fatal_text(session, target) if target is not None else answer.message() or answer.title
    raise _not_activated(session, plugin, f": {words}" if words else ".")


def _not_activated(session: AdminSession, plugin: str, said: str) -> ActivationFailed:
    try:
        remove_connector(session, plugin=plugin)
    except JobError:
        said += " (Its files could not be removed.)"
    return ActivationFailed(f"The connector could not be activated{said}")


def _fatal_text(session: AdminSession, target: httpx2.URL) -> str:
    """What PHP says when the plugin is loaded, through WordPress's own "error scrape"."""
    query = parse_qs(target.query.decode("ascii", errors="replace"))
    if "_error_nonce" not in query or "plugin" not in query:
        return ""
    params = httpx2.QueryParams(
        {"action": "error_scrape", "plugin": query["plugin"][0], "_wpnonce": query["_error_nonce"][0]}
    )
    try:
        return plain(session.request("GET", f"plugins.php?{params}").text, most=400)
    except JobError:
        return ""  # PHP that hides its errors answers with an empty 500


def _activate_existing(session: AdminSession, plugin: str) -> bool:
    """Activate a copy that is there already, if it is not active. Returns whether that was needed."""
    link = _link(_plugins_screen(session), "action=activate", f"plugin={plugin}")
    if link is None:
        return False
    _activate(session, link, plugin)
    return True


def _rejection(session: AdminSession, page: Page, size: int) -> InstallError:
    """Why the upload did not lead to an installed plugin."""
    words = (page.message() or _result_text(page) or page.title)[:300]
    if page.status == 413 or "upload_max_filesize" in page.text or "MAX_FILE_SIZE" in words:
        return UploadTooLarge(f"The site's upload limit is below the connector's {size} bytes.", size=size)
    if page.status == 403:
        # The nonce was fresh, so an "expired" form means that PHP threw the fields away with a too large body.
        limit = _upload_limit(session)
        if limit is not None and limit < size + 2048:
            return UploadTooLarge(
                f"The site takes uploads of {limit} bytes; the connector has {size}.", size=size, limit=limit
            )
        return UploadRejected(f"The site refused the upload: {words}", status=403)
    if _asks_for_ftp(page):
        return FilesystemNotDirect()
    if NOT_WRITABLE.search(words):
        return PluginsNotWritable(f"The site could not write the connector's files: {words}")
    return UploadRejected(f"The site did not install the connector: {words}", status=page.status)


def _result_text(page: Page) -> str:
    """The steps of an installation as WordPress tells them, without the heading; the last lines hold the reason."""
    wraps = page.outline.kept.get(WRAP)
    return plain(wraps[0])[-300:] if wraps else ""


def _discard_archive(session: AdminSession, plugin: str) -> None:
    """Delete the uploaded archive, which WordPress keeps as a private attachment when an installation fails.

    Best effort, through the media library's own calls: they need no REST and leave the user's settings alone.
    """
    name = _folder(plugin)
    query = {"action": "query-attachments", "query[s]": name, "query[posts_per_page]": "20"}
    try:
        found = json.loads(session.request("POST", "admin-ajax.php", data=query).text)["data"]
        for item in found:
            if item["context"] == "upgrader" and item["filename"].startswith(name):
                wish = {"action": "delete-post", "id": str(item["id"]), "_ajax_nonce": item["nonces"]["delete"]}
                session.request("POST", "admin-ajax.php", data=wish)
    except (JobError, ValueError, KeyError, TypeError):
        return  # the reason for the failure matters more than a leftover of a few kilobytes


def _upload_limit(session: AdminSession) -> int | None:
    """Bytes WordPress takes per upload, from the media screen's settings, which no language changes."""
    found = re.search(r'"max_file_size":"(\d+)b"', session.get("media-new.php").text)
    return int(found[1]) if found else None


def _plugins_screen(session: AdminSession) -> Page:
    """The plugins screen, on a network the network's one."""
    page = session.get("plugins.php?plugin_status=all")
    if is_network_page(page):
        network = session.get("network/plugins.php?plugin_status=all")
        return network if network.status == 200 else page
    return page


def _is_listed(session: AdminSession, plugin: str) -> bool:
    page = _plugins_screen(session)
    return page.status == 200 and plugin in page.outline.plugins


def _remove_by_rest(session: AdminSession, plugin: str) -> bool | None:
    """True removed, False was not there, None when REST can not tell."""
    route = f"/wp/v2/plugins/{plugin.removesuffix('.php')}"
    off = session.rest("PUT", route, json={"status": "inactive"})
    if off.status == 404 and "rest_plugin_not_found" in off.text:
        return False
    if off.status != 200:
        return None
    gone = session.rest("DELETE", route)
    return True if gone.status == 200 and '"deleted":true' in gone.text.replace(" ", "") else None


def _remove_by_screen(session: AdminSession, plugin: str) -> bool:
    page = _plugins_screen(session)
    if page.status != 200:
        raise RemovalFailed(f"The plugins screen answers with status {page.status}.", status=page.status)
    listed = plugin in page.outline.plugins
    deactivate = _link(page, "action=deactivate", f"plugin={plugin}")
    if deactivate is not None:
        session.request("GET", deactivate)
        page = session.get(str(page.url))
    _delete(session, page, plugin)
    return listed


def _delete(session: AdminSession, screen: Page, plugin: str) -> None:
    """Post what the plugins screen posts when a person deletes a plugin, and look whether it worked."""
    form = next((form for form in screen.forms() if "checked[]" in form.fields), None)
    if form is None:
        raise RemovalFailed("This user may not delete plugins.")
    fields = {"action": "delete-selected", "checked[]": plugin, "verify-delete": "1"}
    address = str(screen.url)
    answer = session.request("POST", address, data=fields | {"_wpnonce": form.fields.get("_wpnonce", "")})
    after = session.get(str(answer.location)) if answer.location is not None else _plugins_screen(session)
    if after.status != 200 or plugin in after.outline.plugins:
        raise RemovalFailed()
    if said := after.message():
        raise RemovalFailed(f"The connector's folder could not be deleted: {said}")
