"""The secrets of one clone's Pod: derived from one key, so that every cloner knows them and none has to read them back.

A cloner may write Secrets of the clones' namespace, but not read them. The certificate is the same whenever it is made:
its key comes from the derivation, its times are fixed, and Ed25519 signs without chance. Whoever connects trusts this
one certificate and no other.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
LEAST = 32


@dataclass(frozen=True)
class Credentials:
    """Of one clone."""

    token: str = field(repr=False)
    """What the agent asks for."""
    password: str = field(repr=False)
    """Of the clone's user in its database."""
    login_key: str = field(repr=False)
    """What login links are sealed with."""
    key: str = field(repr=False)
    """Of the Pod's certificate, as PEM."""
    certificate: str = field(repr=False)


NONE = Credentials("", "", "", "", "")
"""Of no clone."""


@lru_cache(maxsize=256)
def credentials(master: bytes, clone_id: str) -> Credentials:
    """All of a clone. Raises ValueError when the key is too short."""
    if len(master) < LEAST:
        raise ValueError(f"the key of the Pods must have {LEAST} bytes or more")

    def derived(purpose: str) -> bytes:
        return hmac.digest(master, f"siteferry pod\0{purpose}\0{clone_id}".encode(), "sha256")

    private = Ed25519PrivateKey.from_private_bytes(derived("tls"))
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    serial = int.from_bytes(derived("serial")[:16]) | 1
    return Credentials(
        token=derived("agent").hex(),
        password=derived("database").hex()[:48],
        login_key=derived("login links").hex(),
        key=pem,
        certificate=_certificate(private, clone_id, serial),
    )


def _certificate(private: Ed25519PrivateKey, clone_id: str, serial: int) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, clone_id)])
    public = private.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    made = (
        x509.CertificateBuilder(name, name, public, serial, BEGIN, END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(clone_id)]), critical=False)
        .sign(private, None)
    )
    return made.public_bytes(Encoding.PEM).decode()
