"""The frame codec: any split of the bytes gives the same frames, any damage is noticed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
import zlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.wordpress.connector import protocol
from shared.wordpress.connector.errors import BadPairingKey
from shared.wordpress.connector.protocol import FileCursor, Frame, FrameDecoder, TruncatedResponse

KEY = b"k" * 32
NONCE = "0123456789abcdef" * 2
Plain = list[tuple[str, int, bytes]]

frames_of_data = st.lists(
    st.tuples(st.sampled_from("BRJK"), st.sampled_from([0, protocol.CONTINUES]), st.binary(max_size=300)), max_size=8
)


def encode(frames: Plain, *, nonce: str = NONCE, key: bytes = KEY, deflate: bool = False) -> bytes:
    """An answer as the connector writes it."""
    mac = hmac.new(key, nonce.encode(), hashlib.sha256)
    out = bytearray(b"SFR1")

    def add(kind: str, flags: int, payload: bytes) -> None:
        if deflate and kind in "BR":
            payload, flags = zlib.compress(payload, 1), flags | protocol.DEFLATED
        header = struct.pack(">cBII", kind.encode(), flags, len(payload), zlib.crc32(payload))
        if kind != "S":
            mac.update(header)
        out.extend(header + payload)

    add("H", 0, json.dumps({"nonce": nonce}).encode())
    for frame in frames:
        add(*frame)
    add("E", 0, b'{"cursor":null,"done":true}')
    add("S", 0, mac.hexdigest().encode())
    return bytes(out)


def decode(data: bytes, cuts: list[int] | None = None) -> list[Frame]:
    decoder = FrameDecoder(NONCE, KEY)
    found: list[Frame] = []
    edges = [0, *sorted(cuts or []), len(data)]
    for start, end in pairwise(edges):
        found.extend(decoder.feed(data[start:end]))
    decoder.finish()
    return found


@given(frames=frames_of_data, data=st.data(), deflate=st.booleans())
def test_any_split_gives_the_same_frames(frames: Plain, data: st.DataObject, deflate: bool) -> None:
    wire = encode(frames, deflate=deflate)
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=12))
    got = decode(wire, cuts)
    assert [(frame.type, frame.continues, frame.payload) for frame in got[:-1]] == [
        (kind, bool(flags & protocol.CONTINUES), payload) for kind, flags, payload in frames
    ]
    assert got[-1].json() == {"cursor": None, "done": True}


@given(frames=frames_of_data, data=st.data())
def test_any_truncation_is_noticed(frames: Plain, data: st.DataObject) -> None:
    wire = encode(frames)
    kept = data.draw(st.integers(0, len(wire) - 1))
    with pytest.raises(TruncatedResponse):
        decode(wire[:kept])


@settings(max_examples=300)
@given(frames=frames_of_data, data=st.data())
def test_any_changed_byte_is_noticed(frames: Plain, data: st.DataObject) -> None:
    wire = bytearray(encode(frames))
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(TruncatedResponse):
        decode(bytes(wire))


@given(frames=frames_of_data.filter(lambda frames: len(frames) > 1), data=st.data())
def test_a_missing_or_repeated_frame_is_noticed(frames: Plain, data: st.DataObject) -> None:
    """Each frame's checksum still holds; only the signature at the end can tell."""
    wire = encode(frames)
    bounds, at = [], 4
    while at < len(wire):
        bounds.append(at)
        at += 10 + struct.unpack_from(">I", wire, at + 2)[0]
    chosen = data.draw(st.integers(1, len(bounds) - 3))
    start, end = bounds[chosen], bounds[chosen + 1]
    for changed in (wire[:start] + wire[end:], wire[:end] + wire[start:end] + wire[end:]):
        with pytest.raises(TruncatedResponse):
            decode(changed)


def test_frames_before_the_damage_are_given_out() -> None:
    wire = encode([("B", 0, b"one"), ("B", 0, b"two")])
    decoder = FrameDecoder(NONCE, KEY)
    damaged = wire.replace(b"two", b"twO")
    stream = decoder.feed(damaged)
    assert next(stream).payload == b"one"
    with pytest.raises(TruncatedResponse):
        next(stream)


@pytest.mark.parametrize(
    "wire",
    [
        encode([], nonce="f" * 32),
        encode([], key=b"x" * 32),
        b"<html>" + b"x" * 20000,
        b"SFR1" + b"Z" * 100,
        b"SFR1" + struct.pack(">cBII", b"B", 0, 0xFFFFFFFF, 0),
    ],
    ids=["another request's answer", "signed with another key", "a page", "not a frame", "an absurd length"],
)
def test_foreign_answers_are_refused(wire: bytes) -> None:
    with pytest.raises(TruncatedResponse):
        decode(wire)


def test_what_plugins_print_around_the_answer_is_ignored() -> None:
    wire = b"\xef\xbb\xbf<br />Notice: SF is undefined\n" + encode([("B", 0, b"data")]) + b"<!-- cached -->"
    assert [frame.payload for frame in decode(wire)][:-1] == [b"data"]
    assert [frame.payload for frame in decode(wire, list(range(len(wire))))][:-1] == [b"data"]


def test_a_request_can_be_opened_with_the_key_and_only_with_it() -> None:
    request = protocol.sign("hello", {"a": "ü"}, KEY, now=1000.5)
    magic, mac, payload = request.body.split(b".")
    assert magic == b"SF1"
    assert mac.decode() == hmac.new(KEY, payload, hashlib.sha256).hexdigest()
    envelope: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(payload), -15))
    assert envelope == {
        "version": 1, "op": "hello", "params": {"a": "ü"}, "expires": 1300, "nonce": request.nonce,
    }  # fmt: skip
    assert protocol.sign("hello", {}, KEY, now=1).nonce != request.nonce


@given(key=st.binary(min_size=32, max_size=32))
def test_pairing_keys_survive_copy_and_paste(key: bytes) -> None:
    text = protocol.format_pairing_key(key)
    assert protocol.parse_pairing_key(f"  {text[:20]}\n{text[20:]} ") == key


@pytest.mark.parametrize(
    "text", ["", "hello", "sf1_", "sf1_abc", "sf1_" + "ä" * 43, "sf2_" + "a" * 43, "sf1_" + "a" * 44]
)
def test_other_texts_are_no_pairing_keys(text: str) -> None:
    with pytest.raises(BadPairingKey):
        protocol.parse_pairing_key(text)


def test_the_file_cursor_points_behind_what_arrived() -> None:
    def frame(kind: str, **data: Any) -> Frame:
        return Frame(kind, 0, json.dumps(data).encode())

    place = FileCursor()
    place.passed(frame("D", root="r", path_b64="ZA=="))
    assert place.cursor == {"root": "r", "path_b64": "ZA==", "offset": None}
    place.passed(frame("F", root="r", path_b64="Zg==", size=10, mtime=7, mode=420, offset=2))
    assert place.cursor == {"root": "r", "path_b64": "ZA==", "offset": None}
    place.passed(Frame("B", 0, b"abc"))
    assert place.cursor == {"root": "r", "path_b64": "Zg==", "offset": 5, "size": 10, "mtime": 7}
    place.passed(frame("C", size=10, changed=False))
    assert place.cursor == {"root": "r", "path_b64": "Zg==", "offset": None}
