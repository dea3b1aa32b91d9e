"""What can go wrong with the connector once it is installed.

Temporary
+-- SourceUnreachable    (shared.wordpress.errors) no usable answer: connection, timeout, busy server
+-- TruncatedResponse    (protocol) the answer broke off or arrived damaged; resume from the last cursor
+-- ConnectorFault       the connector said what went wrong and another try may help (`fault` is its code)
Permanent
+-- ConnectorGone        WordPress answers, but the connector does not: removed or deactivated
+-- ConnectorRefused     wrong key, expired, or not able to work on this host (`fault` is its code)
+-- HostChallenge        (shared.wordpress.errors) a bot check instead of the connector
+-- BadPairingKey        what was pasted is not a pairing key
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


class BadPairingKey(Permanent):
    """This is not a pairing key."""

    code = "bad_pairing_key"
    hint = "Copy the whole key from Tools > Siteferry in the source's wp-admin."
