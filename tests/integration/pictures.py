"""A source of media that does to whoever asks what a hostile or broken one may do."""

from __future__ import annotations

import gzip
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import unquote, urlsplit

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
UPLOADS = "/wp-content/uploads/"
HOME = "shop.localhost"


class Pictures(http.server.ThreadingHTTPServer):
    """Answers by the name of the file; remembers what was asked for."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Answer)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.go = threading.Event()
        """What `hangs` waits for."""

    @property
    def origin(self) -> str:
        return f"http://{HOME}:{self.server_port}"

    @property
    def media(self) -> dict[str, str]:
        """As it is written for a clone."""
        return {"prefix": UPLOADS, "source": f"{self.origin}{UPLOADS}", "page": f"{self.origin}/"}

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


class _Answer(http.server.BaseHTTPRequestHandler):
    server: Pictures
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        name = unquote(urlsplit(self.path).path.rpartition("/")[2])
        getattr(self, f"_{name.partition('.')[0].replace('-', '_')}", self._whole)()

    def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        for header, value in {
            "Content-Type": "image/png",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **said,
        }.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _whole(self) -> None:
        documents = self.path.endswith(".pdf")
        self._say(200, PNG, Content_Type="application/pdf" if documents else "image/png", Set_Cookie="a=b")

    def _gone(self) -> None:
        self._say(404, b"<h1>gone</h1>", Content_Type="text/html")

    def _denied(self) -> None:
        self._say(403, b"no")

    def _page(self) -> None:
        self._say(200, b"<script>alert(1)</script>", Content_Type="text/html")

    def _drawing(self) -> None:
        self._say(200, b"<svg onload='alert(1)'/>", Content_Type="image/svg+xml")

    def _bomb(self) -> None:
        self._say(200, gzip.compress(bytes(10 << 20)), Content_Encoding="gzip")

    def _huge(self) -> None:
        self._say(200, PNG, Content_Length=str(10 << 30))

    def _endless(self) -> None:
        self._chunks(iter(lambda: bytes(1 << 20), b""), 0)

    def _drips(self) -> None:
        self._chunks(iter(lambda: b"x", b""), 0.05)

    def _hangs(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(PNG)))
        self.end_headers()
        self.wfile.write(PNG[:1000])
        self.wfile.flush()
        self.server.go.wait(30)
        self.wfile.write(PNG[1000:])

    def _torn(self) -> None:
        self._say(200, PNG[:100], Content_Length=str(len(PNG)))
        self.close_connection = True

    def _empty(self) -> None:
        self._say(200)

    def _part(self) -> None:
        self._say(206, PNG)

    def _busy(self) -> None:
        self._say(503)

    def _chunks(self, pieces: Iterator[bytes], pause: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for piece in pieces:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                time.sleep(pause)
        except OSError:
            self.close_connection = True

    def _leads(self) -> None:
        """Where `?` of the name says: `leads.<number>.png`."""
        number = int(self.path.rpartition("leads.")[2].partition(".")[0])
        self._say(302, Location=self._goals()[number])

    def _goals(self) -> list[str]:
        port = self.server.server_port
        return [
            f"http://other.localhost:{port}{UPLOADS}a.png",
            f"http://127.0.0.1:{port}{UPLOADS}a.png",
            f"http://{HOME}:{port + 1}{UPLOADS}a.png",
            "http://169.254.169.254/latest/meta-data/a.png",
            f"//10.0.0.1{UPLOADS}a.png",
            "file:///etc/passwd",
            f"http://user:word@{HOME}:{port}{UPLOADS}a.png",
            f"{UPLOADS}leads.7.png",
            f"{UPLOADS}page.png",
        ]

    def _moved(self) -> None:
        self._say(301, Location=f"{UPLOADS}here.png")

    def handle(self) -> None:
        with suppress(OSError):  # whoever asked has heard enough
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def pictures(port: int = 0) -> Iterator[Pictures]:
    """A source that answers until the end of the block."""
    server = Pictures(port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go.set()
        server.shutdown()
        server.server_close()
