"""A server on this machine that publishes files, and has the troubles that a test wants."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock


class Mirror:
    """What the server has and does.

    files:    what it publishes, by name.
    troubles: by name, what is to go wrong with the next requests, the first one first: "cut" (half of what was asked
              for comes), "nothing" (a header and no more), "stall", "garbage" (as long as the file), "whole" (Range is
              ignored), "elsewhere" (another part than was asked for), or a status such as "404".
    requests: (name, where the range began), in the order in which they came.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.troubles: defaultdict[str, list[str]] = defaultdict(list)
        self.requests: list[tuple[str, int]] = []
        self.released = threading.Event()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        name = handler.path.lstrip("/")
        start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.requests.append((name, start))
        trouble = self.troubles[name].pop(0) if self.troubles[name] else ""
        content = self.files.get(name)
        if trouble.isdecimal() or content is None:
            handler.send_error(int(trouble or 404))
            return
        if start >= len(content) and start:
            handler.send_error(416)
            return
        begin = 0 if trouble == "whole" else start + 1 if trouble == "elsewhere" else start
        body = bytes(len(content) - begin) if trouble == "garbage" else content[begin:]
        handler.send_response(206 if begin else 200)
        if begin:
            handler.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        sent = {"cut": len(body) // 2, "stall": len(body) // 2, "nothing": 0}.get(trouble, len(body))
        with suppress(ConnectionError):  # who asked may have gone
            handler.wfile.write(body[:sent])
        if trouble == "stall":
            self.released.wait(25)  # less than the 30 seconds after which who asked gives up


@contextmanager
def serving() -> Iterator[Mirror]:
    """Run a mirror in a thread, for the time of the with block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirror = Mirror(f"http://127.0.0.1:{server.server_address[1]}/")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with mock.patch.dict(os.environ, {"no_proxy": "127.0.0.1"}):
            yield mirror
    finally:
        mirror.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
