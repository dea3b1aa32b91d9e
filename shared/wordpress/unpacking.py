"""The body of an answer, unpacked by us piece by piece: however well it packs, no more than a piece is in memory.

httpx2 unpacks each packet that arrives at once, and 64 KiB of gzip can be 64 MiB of zeros.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import httpx2

from shared.wordpress import limits
from shared.wordpress.errors import AnswerTooLarge, SourceUnreachable

PIECE = 256 * limits.KIB


def check_headers(response: httpx2.Response) -> None:
    """Raises AnswerTooLarge when the answer's headers are larger than anybody's."""
    limits.HEADERS.check(sum(len(name) + len(value) for name, value in response.headers.raw))


def pieces(response: httpx2.Response) -> Iterator[bytes]:
    """The body of a streamed response, gzip and deflate unpacked, in pieces of at most `PIECE` or as they arrived.

    Raises AnswerTooLarge (`limits.RATIO`, `limits.HEADERS`), SourceUnreachable when it can not be unpacked.
    """
    check_headers(response)
    packed = [name.strip().lower() for name in response.headers.get("content-encoding", "").split(",")]
    packed = [name for name in packed if name not in ("", "identity")]
    if not packed:
        yield from response.iter_raw()
    elif len(packed) == 1 and packed[0] in ("gzip", "x-gzip", "deflate"):
        yield from _inflated(response, packed[0])
    else:
        # Never asked for. Packed several times over, a few bytes are as many as one likes.
        raise AnswerTooLarge(f"{response.url.host} sends its answer packed as {', '.join(packed)[:60]}.")


def _inflated(response: httpx2.Response, packed: str) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16 if packed != "deflate" else zlib.MAX_WBITS)
    taken = given = 0
    try:
        for data in response.iter_raw():
            if not taken and packed == "deflate" and data and data[0] & 0x0F != 8:
                unpacker = zlib.decompressobj(-zlib.MAX_WBITS)  # without the header the standard asks for
            taken += len(data)
            while data and not unpacker.eof:
                piece = unpacker.decompress(data, PIECE)
                data = unpacker.unconsumed_tail
                given += len(piece)
                if given > limits.RATIO_FROM:
                    limits.RATIO.check(given / max(1, taken - len(data)))
                if piece:
                    yield piece
    except zlib.error as error:
        raise SourceUnreachable(f"{response.url.host} sends an answer that can not be unpacked.") from error
