"""Bounds on what a site sends: each entry of the one table is tried, against a real server where bytes travel."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import JobError
from shared.wordpress import limits
from shared.wordpress.connector import protocol, reading
from shared.wordpress.connector.client import ConnectorClient, _refusal
from shared.wordpress.connector.protocol import Frame, FrameDecoder, TruncatedResponse, check_json
from shared.wordpress.errors import AddressRefused, AnswerTooLarge, InvalidAddress, SourceUnreachable, TooManyRedirects
from shared.wordpress.http import retry_after, site_client
from shared.wordpress.page import MAX_REDIRECTS, fetch, fetch_at_home
from shared.wordpress.probe import normalise

KEY = bytes(range(32))


@contextmanager
def serving(answer: bytes) -> Iterator[str]:
    """A server that answers every request with these bytes and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65536)
                        connection.sendall(answer)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def zeros(size: int, *, wbits: int = zlib.MAX_WBITS | 16) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()])


def got(answer: bytes) -> int:
    with serving(answer) as url, site_client() as client:
        return len(fetch(client, "GET", url).text)


def test_every_bound_is_in_the_table_with_its_code() -> None:
    defined = {name for name, value in vars(limits).items() if isinstance(value, limits.Limit)}
    assert len(defined) == len(limits.TABLE)
    assert {limit.code for limit in limits.TABLE} == {
        "answer_too_large", "source_unreachable", "too_many_redirects", None,
    }  # fmt: skip
    for limit in limits.TABLE:
        limit.check(limit.most)
        if limit.error is not None:
            with pytest.raises(limit.error) as caught:
                limit.check(limit.most + 1)
            assert caught.value.details["most"] == limit.most


def test_a_page_is_cut() -> None:
    assert got(http(b"x" * (int(limits.PAGE.most) + 100_000))) == limits.PAGE.most


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "raw deflate"])
def test_a_packed_page_is_unpacked(encoding: str) -> None:
    body = {"deflate": zlib.compress(b"hello" * 100), "raw deflate": zlib.compress(b"hello" * 100)[2:-4]}.get(
        encoding, gzip.compress(b"hello" * 100)
    )
    assert got(http(body, f"Content-Encoding: {encoding.removeprefix('raw ')}")) == 500


def test_a_gigabyte_of_zeros_is_not_unpacked() -> None:
    answer = http(zeros(1 << 30), "Content-Encoding: gzip")
    with serving(answer) as url, site_client() as client:
        tracemalloc.start()
        try:
            with pytest.raises(AnswerTooLarge) as caught:
                fetch(client, "GET", url)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert caught.value.code == "answer_too_large"
    assert peak < 40 << 20


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "gzip, deflate, gzip"])
def test_what_was_never_asked_for_is_not_unpacked(encoding: str) -> None:
    with pytest.raises(AnswerTooLarge):
        got(http(b"\x1f\x8b", f"Content-Encoding: {encoding}"))


def test_what_can_not_be_unpacked_is_an_answer_that_broke() -> None:
    with pytest.raises(SourceUnreachable):
        got(http(b"no gzip", "Content-Encoding: gzip"))


def test_headers() -> None:
    assert got(http(b"x", *(f"X-{number}: {'y' * 100}" for number in range(300)))) == 1
    with pytest.raises((AnswerTooLarge, SourceUnreachable)):
        got(http(b"x", *(f"X-{number}: {'y' * 1000}" for number in range(75))))


def test_a_chain_of_redirects() -> None:
    with serving(http(b"", "Location: /again", status="302 Found")) as url, site_client() as client:
        with pytest.raises(TooManyRedirects):
            fetch(client, "GET", url, follow=MAX_REDIRECTS)
        with pytest.raises(TooManyRedirects):
            fetch_at_home(client, url)


@pytest.mark.parametrize("goal", ["http://127.0.0.1:1/", "//evil.test/", "https://127.0.0.1/", "http://localhost/"])
def test_a_redirect_that_leaves_is_not_followed(goal: str) -> None:
    with serving(http(b"", f"Location: {goal}", status="302 Found")) as url, site_client(only=(url,)) as client:
        page = fetch_at_home(client, url)
        assert page.status == 302
        with pytest.raises(AddressRefused):
            fetch(client, "GET", goal.replace("//evil", "http://evil") if goal.startswith("//") else goal)


def test_a_client_for_one_site_calls_no_other() -> None:
    with serving(http(b"other")) as other, serving(http(b"mine")) as mine, site_client(only=(mine,)) as client:
        assert fetch(client, "GET", mine).text == "mine"
        for elsewhere in (other, other.replace("127.0.0.1", "localhost"), "http://x.localhost/"):
            with pytest.raises(AddressRefused):
                fetch(client, "GET", elsewhere)


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b"[" + b"[]," * 2_000_000 + b"[]]",
        b'{"a":"' + b"x" * (17 << 20) + b'"}',
        b'["' + b'","' * 2_000_000 + b'"]',
        b'{"' + b'":0,"' * 600_000 + b'":0}',
    ],
    ids=["deep", "deep objects", "wide", "long", "strings", "keys"],
)
def test_json_that_would_fill_the_memory(payload: bytes) -> None:
    with pytest.raises(AnswerTooLarge):
        Frame("J", 0, payload).json()


@pytest.mark.parametrize("payload", [b"[" * 50 + b"]" * 50, b'{"a": 1', b"1" * 5000, b"\xff", b"", b'"', b'{"a":"\\'])
def test_json_that_can_not_be_read_is_a_damaged_frame(payload: bytes) -> None:
    with pytest.raises(TruncatedResponse):
        Frame("J", 0, payload).json()


def test_json_of_a_large_site_is_read() -> None:
    tables = [
        {"name": f"wp_{n}", "create": 'CREATE TABLE `x` [{"\\"' * 20, "columns": [{"name": "a"}] * 20}
        for n in range(3000)
    ]
    assert len(Frame("J", 0, json.dumps({"tables": tables}).encode()).json()["tables"]) == 3000


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_ordinary_json_is_refused(value: object) -> None:
    check_json(json.dumps(value, ensure_ascii=False).encode())
    check_json(json.dumps(value).encode())


def test_a_packed_frame_of_zeros() -> None:
    with pytest.raises(AnswerTooLarge):
        protocol.inflate(zlib.compress(bytes(40 << 20), 9))


class Answers:
    """A connector that answers with these frames."""

    def __init__(self, *frames: Frame) -> None:
        self.frames = frames

    def stream(self, op: str, params: dict[str, object]) -> Iterator[Frame]:
        yield from self.frames


def framed(kind: str, **data: object) -> Frame:
    return Frame(kind, 0, json.dumps(data).encode())


def drained(function: object, *frames: Frame, arguments: tuple[object, ...]) -> None:
    for _ in function(Answers(*frames), *arguments):  # type: ignore[operator]
        pass


def test_a_row_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    piece = Frame("R", protocol.CONTINUES, bytes(8 << 20))
    with pytest.raises(AnswerTooLarge):
        drained(reading.row_blocks, framed("T", table="t"), *[piece] * 40, arguments=("db.stream", {}))


def test_a_file_of_one_byte_that_brings_more() -> None:
    named = reading.FileName("content", b"x")
    start = framed("F", size=1, mtime=0, mode=0o644, offset=0)
    with pytest.raises(AnswerTooLarge):
        drained(reading.file_events, start, *[Frame("B", 0, bytes(1 << 20))] * 80, arguments=([named], 1.0))
    limits.check_growth(200 << 20, 300 << 20)


def test_the_name_of_a_file() -> None:
    item = {"base": "content", "path_b64": "YWFh" * 2000, "size": 1, "mtime": 0, "mode": 0, "md5": ""}
    with pytest.raises(AnswerTooLarge):
        drained(reading.file_digests, framed("J", files=[item], links=[], cursor=None), arguments=([], [], 1.0))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("30", 30.0), ("0", 0.0), ("999999999", 900.0), ("", None), ("soon", None), ("-1", None), ("9" * 5000, None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 21 Oct 2099 07:28:00 GMT", 900.0), ("Wed, 99 Foo 1 9:9:9", None)],
)  # fmt: skip
def test_how_long_a_server_may_make_us_wait(said: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": said}) == seconds


@pytest.mark.parametrize(
    "typed", ["https://shop.test/%0d%0aX", "https://shop.test/\x00", "http://" + "a" * 3000 + ".test"]
)
def test_an_address(typed: str) -> None:
    with pytest.raises(InvalidAddress):
        normalise(typed)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([b"SFR1", b"H\x00\x00\x00\x00\x02", b"{}", b"J\x01\xff\xff\xff\xff"])
    )
)
def test_any_bytes_are_no_answer_of_ours(chunks: list[bytes]) -> None:
    decoder = FrameDecoder("00" * 16, KEY)

    def read() -> None:
        for chunk in chunks:
            for frame in decoder.feed(chunk):
                frame.json()
        decoder.finish()

    with pytest.raises(JobError):
        read()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.sampled_from([b'{"siteferry":1,"code":[],"server_time":{}}', b"{" * 60_000]))
def test_any_refusal_is_read(body: bytes) -> None:
    said = _refusal(body)
    assert said is None or said["siteferry"] == 1


def test_the_connectors_answer_is_unpacked_within_bounds() -> None:
    with serving(http(zeros(1 << 28), "Content-Encoding: gzip")) as url, site_client() as client:
        with pytest.raises(JobError):
            ConnectorClient(client, [url], KEY, sleep=lambda _: None).call("hello", tries=1)
