"""Addresses in forms that nobody rewrites: plugins remember where they are, encoded, and pause when that is not so."""

from __future__ import annotations

import base64
import codecs
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from shared.wordpress.rewrite import escape


class Encoded:
    """Finds encodings of some addresses in values."""

    def __init__(self, addresses: Iterable[str]) -> None:
        """`addresses`: URLs of one site."""
        self._needles = tuple(sorted(set(_needles(addresses))))

    def found_in(self, value: bytes) -> bool:
        """Whether rows in LOAD DATA format hold one of the addresses in base64 or hexadecimal, turned round or with its
        letters moved, in a character set of two or four bytes a letter, or a hash of one."""
        return any(needle in value for needle in self._needles)


def _needles(addresses: Iterable[str]) -> Iterator[bytes]:
    for form in sorted({form for address in addresses for form in _forms(address)}):
        text = form.encode()
        for digest in (hashlib.md5, hashlib.sha1, hashlib.sha256):
            yield digest(text, usedforsecurity=False).hexdigest().encode()
        yield b'"%d"' % zlib.crc32(text)
        yield from (text.hex().encode(), text.hex().upper().encode())
        if "://" in form:  # a bare host turned round may be a word of another language
            yield from (form[::-1].encode(), codecs.encode(form, "rot13").encode())
        for charset in ("utf-16-be", "utf-16-le", "utf-32-be"):  # of columns that are kept as they are stored
            yield escape(form.encode(charset))
        # in a longer text the base64 of an address begins at any of three places, and its ends depend on what is beside
        for shift in range(3):
            encoded = base64.b64encode(b"\0" * shift + text)
            start = (shift * 8 + 5) // 6
            end = (shift + len(text)) * 8 // 6
            if end - start >= 12:
                yield encoded[start:end]
                yield encoded[start:end].replace(b"+", b"-").replace(b"/", b"_")


def _forms(address: str) -> Iterator[str]:
    """An address as plugins write it: with and without scheme, `www.` and the last slash."""
    address = address.rstrip("/")
    parts = urlsplit(address)
    bare = parts.netloc + parts.path
    for scheme in ("http://", "https://"):
        yield from (scheme + bare, f"{scheme}{bare}/")
    yield from (bare, f"{bare}/", parts.netloc, f"//{bare}")
