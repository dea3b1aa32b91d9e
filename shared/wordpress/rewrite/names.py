"""The spellings of one host name: https://www.rfc-editor.org/rfc/rfc5891 (ASCII form), and what people type.

"xn--mnchen-3ya.de", "münchen.de", "MÜNCHEN.de" and "mu\\u0308nchen.de" are one host. Labels are converted one by one
with Python's punycode codec, because a label that no registry would accept today (emoji, ß) is a host all the same.
"""

from __future__ import annotations

import unicodedata

_ACE = "xn--"
_CHARSETS = (
    "cp1252 iso8859-2 cp1250 cp1251 koi8-r koi8-u cp866 iso8859-5 cp1253 iso8859-7 cp1254 cp1255 cp1256 cp1257 "
    "iso8859-13 cp874 gb18030 big5 shift_jis euc-jp cp949 mac-roman cp850"
).split()
"""What databases and files hold beside UTF-8; columns travel as the bytes that are stored."""


def ascii_host(host: str) -> str:
    """The form that goes over the wire, in lower case."""
    return ".".join(map(_ascii_label, host.split(".")))


def unicode_host(host: str) -> str:
    """The form that people read, composed and in lower case; labels that cannot be decoded stay as they are."""
    return ".".join(map(_unicode_label, host.split(".")))


def host_forms(host: str) -> list[str]:
    """Every form of a host whose bytes differ in more than the case of its letters; the ASCII form first."""
    plain, readable = ascii_host(host), unicode_host(host)
    return list(dict.fromkeys([plain, readable, unicodedata.normalize("NFD", readable)]))


def legacy_forms(host: str) -> list[bytes]:
    """A readable host in the character sets that have all of its letters, as it is written and in capitals."""
    found = {}
    for name in _CHARSETS if not host.isascii() and host == unicodedata.normalize("NFC", host) else ():
        for text in (host, host.upper() if len(host.upper()) == len(host) else host):
            try:
                form = text.encode(name).lower()
            except UnicodeEncodeError:
                continue
            if b"\\" not in form and not form.isascii():
                found[form] = True
    return [form for form in found if form != host.encode()]


def upper_letters(host: str) -> list[tuple[bytes, bytes]]:
    """Letters beyond ASCII in a host, as (upper, lower) in UTF-8, where both have the same number of bytes."""
    found = []
    for letter in sorted(set(unicode_host(host))):
        upper, lower = letter.upper().encode(), letter.encode()
        if letter > "\x7f" and upper != lower and len(upper) == len(lower):
            found.append((upper, lower))
    return found


def _ascii_label(label: str) -> str:
    label = unicodedata.normalize("NFC", label.lower())
    return label if label.isascii() else _ACE + label.encode("punycode").decode()


def _unicode_label(label: str) -> str:
    label = unicodedata.normalize("NFC", label.lower())
    if not label.startswith(_ACE):
        return label
    try:
        return label[len(_ACE) :].encode().decode("punycode")
    except UnicodeError:
        return label
