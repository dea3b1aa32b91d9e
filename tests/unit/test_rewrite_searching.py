"""What is searched in steps is found alike whether its alternatives are tried one by one or all at once."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.wordpress.rewrite import searching
from shared.wordpress.rewrite.signs import Hints

HOST = "www.shop-münchen.example"
HINTS = {rows: Hints([HOST, "www.xn--shop-mnchen-thb.example"], rows=rows) for rows in (False, True)}


def spellings(character: str) -> list[str]:
    """A character in clear and as every layer writes it, and some that are cut off."""
    code, octets = ord(character), "".join(f"%{byte:02x}" for byte in character.encode())
    found = [
        character,
        f"\\u{code:04x}",
        f"\\\\u{code:04x}",
        octets,
        octets.replace("%", "%25"),
        octets.replace("%", "%2525"),
    ]
    found += [
        f"&#{code};",
        f"&#x{code:x};",
        f"&amp;#{code};",
        f"&#{code}",
        f"\\{code:x} ",
        f"\\{code:06x}",
        f"\\{code:x}",
    ]
    found += [
        f"\\x{code:02x}",
        f"\\u005c{character}",
        f"\\{character}",
        f"%5c{code:x}%20",
        f"{character}\r\n",
        f"{character}\\n",
    ]
    return [*found, f"&#92;{code:x} ", f"\\u005cx{code:02x}", f"%5cx{code:02x}", octets[:-1]]


ANY = st.sampled_from([*HOST, *':/[{"sa0123', *"\\%&", "amp;", "u00", "5b", "vc_raw_", "３", "。"]).flatmap(
    lambda character: st.sampled_from([*spellings(character[:1]), character])
)
ALONG = st.integers(0, len(HOST) - 4).flatmap(
    lambda at: st.tuples(*(st.sampled_from(spellings(character)) for character in HOST[at : at + 4]))
)
TEXT = st.lists(ALONG.map("".join) | ANY, min_size=1, max_size=12).map("".join)


@pytest.mark.parametrize("rows", [False, True])
@settings(deadline=None, max_examples=200)
@given(text=TEXT)
def test_one_by_one_is_what_all_at_once_is(rows: bool, text: str) -> None:
    data = text.lower().encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "_ONE_BY_ONE", sys.maxsize)
        found = sorted(HINTS[rows].positions(data))
        patch.setattr(searching, "_ONE_BY_ONE", 0)
        assert found == sorted(HINTS[rows].positions(data))


def test_most_examples_hold_something() -> None:
    """The comparison above compares more than nothing with nothing."""
    along = ["".join(spellings(character)[form % 20] for character in "shop-m") for form in range(1, 20)]
    assert sum(bool(HINTS[False].positions(text.lower().encode())) for text in along) >= 12
