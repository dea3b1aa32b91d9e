"""Everything that can go wrong between us and a WordPress site, before the connector speaks.

    Temporary
    +-- SourceUnreachable       no usable answer: refused, timed out, connection lost, name server in trouble
    Permanent
    +-- AddressError
    |   +-- InvalidAddress      what was typed is not a web address
    |   +-- HostNotFound        no such name in the DNS
    |   +-- AddressRefused      an address we must not call (metadata services; private networks where not allowed)
    +-- TlsError                the certificate is not valid, or no TLS at all
    +-- SiteError
    |   +-- NotWordPress        the site answers, but it is not WordPress
    |   +-- SiteBroken          WordPress answers with its own fatal error page
    |   +-- BasicAuthRequired   HTTP basic authentication in front of the site
    |   +-- HostChallenge       a bot check (Cloudflare, SiteGround, Sucuri...) instead of the site
    |   +-- TooManyRedirects    a redirect loop
    |   +-- AnswerTooLarge      an answer that exceeds a bound of `limits`
    +-- SignInError
    |   +-- WrongPassword       user known, password not
    |   +-- UnknownUser         no such user name or e-mail address
    |   +-- SignInRefused       WordPress or a plugin said no, for a reason of its own (shown)
    |   +-- TwoFactorRequired   a second factor is asked
    |   +-- CaptchaRequired     a captcha guards the form
    |   +-- LoginLockedOut      too many failed tries, from anyone at our address
    |   +-- LoginHidden         the login page is somewhere else
    |   +-- SsoOnly             signing in happens at another server
    |   +-- CookiesBlocked      the site did not accept cookies
    |   +-- SessionLost         the session ended between two steps
    +-- InstallError
        +-- NotAdministrator    this user may not install plugins
        +-- FileModsDisallowed  nobody may: DISALLOW_FILE_MODS
        +-- FilesystemNotDirect WordPress asks for FTP credentials to write files
        +-- PluginsNotWritable  the plugins directory can not be written
        +-- UploadTooLarge      upload_max_filesize or post_max_size is below the size of the connector
        +-- UploadRejected      the site refused the archive for a reason of its own (shown)
        +-- InstallerBroken     WordPress's own installer of plugins dies
        +-- ActivationFailed    installed, but a fatal error stopped it
        +-- RemovalFailed       the connector could not be removed

Codes are part of the API. Messages quote what the site said, never what we sent: no password, nonce or cookie.
"""

from __future__ import annotations

from shared.errors import Permanent, Temporary

PAIRING_HINT = (
    "Install the connector by hand instead: download it, upload it under Plugins > Add New, "
    "and start the job with the pairing key it shows."
)


class SourceUnreachable(Temporary):
    """The site does not answer."""

    code = "source_unreachable"
    hint = "Check that the address is right and the site opens in a browser from this network."


class AddressError(Permanent):
    """This address can not be used."""

    code = "address_error"


class InvalidAddress(AddressError):
    """This is not a web address."""

    code = "invalid_address"
    hint = "Give the address as your browser shows it, for example https://example.com."


class HostNotFound(AddressError):
    """No server has this name."""

    code = "host_not_found"
    hint = "Check the spelling of the domain; it does not exist in the DNS."


class AddressRefused(AddressError):
    """Siteferry does not connect to this address."""

    code = "address_refused"
    hint = "Use the public address of the site, or let the operator allow private sources."


class TlsError(Permanent):
    """The site's TLS certificate is not valid."""

    code = "tls_error"
    hint = "Renew or correct the certificate; a browser shows what is wrong with it."


class SiteError(Permanent):
    """The site can not be used as it is."""

    code = "site_error"


class NotWordPress(SiteError):
    """This site answers, but it does not look like WordPress."""

    code = "not_wordpress"
    hint = "Give the address of the WordPress site itself, with its directory if it lives in one (example.com/blog)."


class SiteBroken(SiteError):
    """WordPress answers with a fatal error of its own."""

    code = "site_broken"
    hint = "Repair the site first; its PHP error log names the cause."


class BasicAuthRequired(SiteError):
    """The web server asks for a user name and password of its own (HTTP basic authentication)."""

    code = "basic_auth_required"
    hint = (
        "Send that user and password as basic_auth (siteferry: --basic-auth), or let this server's address in without."
    )


class HostChallenge(SiteError):
    """The host answers with a bot check instead of the site."""

    code = "host_challenge"
    hint = f"Allow this server's address in the host's firewall for the time of the job. {PAIRING_HINT}"


class TooManyRedirects(SiteError):
    """The site redirects in circles."""

    code = "too_many_redirects"
    hint = "Open the site in a private browser window: it will most likely not load there either."


class AnswerTooLarge(SiteError):
    """The site sent more than any site needs to."""

    code = "answer_too_large"
    hint = "Something on the site answers without end, or was made to do harm. The message says what was too large."


class SignInError(Permanent):
    """Signing in did not work."""

    code = "sign_in_failed"


class WrongPassword(SignInError):
    """The password is wrong."""

    code = "wrong_password"
    hint = "Check the password by signing in with a browser. Application passwords do not open wp-admin."


class UnknownUser(SignInError):
    """This user does not exist on the site."""

    code = "unknown_user"
    hint = "Use the user name or e-mail address you sign in to wp-admin with."


class SignInRefused(SignInError):
    """The site refused to sign this user in."""

    code = "sign_in_refused"
    hint = f"The site gave its own reason. {PAIRING_HINT}"


class TwoFactorRequired(SignInError):
    """The site asks for a second factor."""

    code = "two_factor_required"
    hint = f"Use an administrator account without two-factor sign-in. {PAIRING_HINT}"


class CaptchaRequired(SignInError):
    """The login form is guarded by a captcha."""

    code = "captcha_required"
    hint = f"Switch the captcha off for the time of the job. {PAIRING_HINT}"


class LoginLockedOut(SignInError):
    """The site has locked sign-in after too many failed tries."""

    code = "login_locked_out"
    hint = "Wait until the lock ends, or clear it in the plugin that limits login attempts; Siteferry tried once only."


class LoginHidden(SignInError):
    """The login page is not where WordPress puts it."""

    code = "login_hidden"
    hint = f"Send its address or path as login_url (--login-url). {PAIRING_HINT}"


class SsoOnly(SignInError):
    """Signing in happens at another server (single sign-on)."""

    code = "sso_only"
    hint = PAIRING_HINT


class CookiesBlocked(SignInError):
    """The site did not accept our cookies."""

    code = "cookies_blocked"
    hint = "A cache or proxy removes cookies from wp-login.php; exclude that page from caching."


class SessionLost(SignInError):
    """The site ended the session between two steps."""

    code = "session_lost"
    hint = "A security plugin may bind sessions to an address or allow one session per user. " + PAIRING_HINT


class InstallError(Permanent):
    """The connector could not be installed."""

    code = "install_failed"
    hint = PAIRING_HINT


class NotAdministrator(InstallError):
    """This user may not install plugins."""

    code = "not_administrator"
    hint = "Use an account with the Administrator role (on a network: Super Admin)."


class FileModsDisallowed(InstallError):
    """The site allows nobody to install plugins (DISALLOW_FILE_MODS)."""

    code = "file_mods_disallowed"
    hint = (
        "Remove DISALLOW_FILE_MODS from wp-config.php for the time of the job, "
        "or put the connector into wp-content/plugins yourself and use its pairing key."
    )


class FilesystemNotDirect(InstallError):
    """WordPress can not write its own files and asks for FTP credentials."""

    code = "filesystem_not_direct"
    hint = f"PHP runs as another user than the one owning the files. {PAIRING_HINT}"


class PluginsNotWritable(InstallError):
    """The plugins directory can not be written."""

    code = "plugins_not_writable"
    hint = "Give the web server's user write access to wp-content/plugins and wp-content/upgrade, and free disk space."


class UploadTooLarge(InstallError):
    """The site's upload limit is below the size of the connector."""

    code = "upload_too_large"
    hint = (
        "Raise upload_max_filesize and post_max_size in php.ini, and the body limit of the web server, to 1M or more."
    )


class UploadRejected(InstallError):
    """The site refused the connector's archive."""

    code = "upload_rejected"


class InstallerBroken(InstallError):
    """WordPress's own installer of plugins ends with an error of PHP."""

    code = "installer_broken"
    hint = (
        "The site's PHP error log names the cause. Where PHP may not call set_time_limit() (disable_functions), older"
        f" WordPress installs nothing: allow it or update WordPress. {PAIRING_HINT}"
    )


class ActivationFailed(InstallError):
    """The connector was installed, but could not be activated."""

    code = "activation_failed"
    hint = "The message comes from the site's PHP. The connector needs PHP 7.4 or newer."


class RemovalFailed(InstallError):
    """The connector could not be removed from the site."""

    code = "removal_failed"
    hint = "Delete the plugin 'Siteferry Connector' under Plugins. It does nothing without a job's key."


class ImplausibleSite(Permanent):
    """The site describes itself in a way no WordPress site is built."""

    code = "implausible_site"
    hint = "Look at the site's wp-config.php and at what answers in its place; then run the job again."
