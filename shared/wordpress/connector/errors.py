"""What can go wrong with the connector once it is installed.

Temporary
+-- SourceUnreachable    (shared.wordpress.errors) no usable answer: connection, timeout, busy server
+-- TruncatedResponse    (protocol) the answer broke off or arrived damaged; resume from the last cursor
+-- ConnectorFault       the connector said what went wrong and another try may help (`fault` is its code)
+-- TargetBusy           a table could not be locked in time; nothing was changed
Permanent
+-- ConnectorGone        WordPress answers, but the connector does not: removed or deactivated
+-- ConnectorRefused     wrong key, expired, or not able to work on this host (`fault` is its code)
+-- HostChallenge        (shared.wordpress.errors) a bot check instead of the connector
+-- TableBroken          the site's database can not read a table
+-- DatabaseLoginRefused the site's database does not take what WordPress is configured with
+-- DatabaseUnsupported  the site's data is in no MySQL or MariaDB that PHP lets us read
+-- BadPairingKey        what was pasted is not a pairing key
+-- RequestTooLarge      a server in front of the site takes smaller requests only (dealt with by SiteWriter)
+-- TargetError          writing to a site failed for good; nothing visitors use was changed
    +-- TargetReadOnly       a directory or file can not be written
    +-- TargetNoPrivilege    the database account may not create, alter or drop tables
    +-- TargetFull           no space left
    +-- RowRefused           the database would cut or refuse a value
    +-- PathConflict         a directory is where a file has to go, or the other way round
    +-- TableNotExchangeable foreign keys or triggers tie this table to others
    +-- StageLost            what was staged is no longer there
"""

from __future__ import annotations

from shared.errors import Permanent, Temporary


class ConnectorGone(Permanent):
    """The connector no longer answers: it was removed or deactivated on the source."""

    code = "connector_gone"
    hint = "Start the job again. If a security plugin or the host removes it, allow the Siteferry Connector there."


class ConnectorRefused(Permanent):
    """The connector refused the request."""

    code = "connector_refused"
    hint = "Start the job again, or make a new pairing key under Tools > Siteferry on the source."

    def __init__(self, message: str | None = None, *, fault: str = "refused", hint: str | None = None) -> None:
        super().__init__(message, hint=hint, fault=fault)
        self.fault = fault


class ConnectorFault(Temporary):
    """The connector reported an error while it was reading the source."""

    code = "connector_fault"

    def __init__(self, message: str | None = None, *, fault: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, fault=fault)
        self.fault = fault


class TableBroken(Permanent):
    """The site's database can not read one of its tables."""

    code = "table_broken"
    hint = (
        "The message names the table. Repair it on the site (`wp db repair`, or Repair table in phpMyAdmin), or "
        "leave it out with options.exclude_tables; then run the job again."
    )


class DatabaseLoginRefused(Permanent):
    """The site's database does not take the account that WordPress is configured with."""

    code = "database_login_refused"
    hint = (
        "The site seems to reach its database by a wp-content/db.php with an account of its own: put that account into "
        "wp-config.php (DB_USER, DB_PASSWORD, DB_NAME, DB_HOST), then run the job again."
    )


class DatabaseUnsupported(Permanent):
    """The site's data is in no database that can be read here."""

    code = "database_unsupported"
    hint = "Siteferry moves sites on MySQL or MariaDB, read by PHP's extension mysqli: enable it on the site."


class BadPairingKey(Permanent):
    """This is not a pairing key."""

    code = "bad_pairing_key"
    hint = "Copy the whole key from Tools > Siteferry in the source's wp-admin."


class RequestTooLarge(Permanent):
    """A server in front of the site refuses requests of this size."""

    code = "request_too_large"
    hint = "Raise the body limit of the target's web server (client_max_body_size, LimitRequestBody) to 1M or more."


class TargetBusy(Temporary):
    """A table of the target could not be locked in time; nothing was changed."""

    code = "target_busy"
    hint = "A long query or backup holds a table of the target; retry the job when it has ended."


class TargetError(Permanent):
    """Writing to the target failed; nothing its visitors use was changed."""

    code = "target_error"


class TargetReadOnly(TargetError):
    """The target's files can not be written."""

    code = "target_read_only"
    hint = "Give the web server's user write access to wp-content and what is in it."


class TargetNoPrivilege(TargetError):
    """The target's database account may not create, alter or drop tables."""

    code = "target_no_privilege"
    hint = "Give the database account of wp-config.php the privileges CREATE, ALTER, DROP and INDEX."


class TargetFull(TargetError):
    """There is no space left on the target."""

    code = "target_full"
    hint = "Free space on the target's disk or raise its quota; a restore needs room for the changed tables twice."


class RowRefused(TargetError):
    """The target's database would cut or refuse a value."""

    code = "row_refused"
    hint = "The table differs on the two sites. Update the plugin it belongs to on both, or exclude the table."


class PathConflict(TargetError):
    """On the target a directory is where a file has to go, or the other way round."""

    code = "target_path_conflict"
    hint = "Rename what is in the way on the target, or exclude the folder."


class TableNotExchangeable(TargetError):
    """Foreign keys or triggers tie this table of the target to others."""

    code = "table_not_exchangeable"
    hint = "Exclude the table the message names."


class StageLost(TargetError):
    """What was staged on the target is no longer there."""

    code = "stage_lost"
    hint = "Start the restore again; somebody or something on the target has removed its working directory or tables."


TYPED_FAULTS: dict[str, type[Permanent]] = {
    kind.code: kind
    for kind in (
        TargetError,
        TargetReadOnly,
        TargetNoPrivilege,
        TargetFull,
        RowRefused,
        PathConflict,
        TableNotExchangeable,
        StageLost,
        TableBroken,
        DatabaseLoginRefused,
        DatabaseUnsupported,
    )
}
"""Codes of a connector's fault that have an error of their own."""
