"""A test double: Swift with If-Match on PUT, as AWS, MinIO, Ceph and R2 have it.

Swift's S3 API answers 501 to that header. This proxy in front of it holds a lock, looks at the object's ETag, and
passes the request on without the header, or answers 412. Everything else is Swift's.
"""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from minio import Minio
from minio.error import S3Error
from real_servers import ACCESS_KEY, SECRET_KEY

_HOP = {"connection", "transfer-encoding", "if-match"}
_REFUSAL = b"<?xml version='1.0'?><Error><Code>PreconditionFailed</Code><Message>no</Message></Error>"


class IfMatchProxy:
    """Listens on ``port`` and speaks to the server on ``target_port``.

    One that is ``forgetful`` passes over all conditions on writes, as servers do that do not know them.
    """

    def __init__(self, target_port: int, *, forgetful: bool = False) -> None:
        target = f"127.0.0.1:{target_port}"
        client = Minio(target, ACCESS_KEY, SECRET_KEY, secure=False)
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._forward(b"")

            do_HEAD = do_GET
            do_POST = do_DELETE = do_PUT = lambda self: self._write()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is logged."""

            def _write(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                if forgetful:
                    del self.headers["if-match"], self.headers["if-none-match"]
                with lock:
                    wanted = self.headers.get("if-match")
                    if self.command == "PUT" and wanted is not None and wanted != self._etag():
                        self._answer(412, [("Content-Type", "application/xml")], _REFUSAL)
                    else:
                        self._forward(body)

            def _etag(self) -> str | None:
                bucket, _, name = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
                try:
                    return f'"{client.stat_object(bucket, name).etag}"'
                except S3Error:
                    return None

            def _forward(self, body: bytes) -> None:
                connection = http.client.HTTPConnection(target, timeout=60)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
                if self.command in ("GET", "HEAD") and "if-match" in self.headers:
                    headers["If-Match"] = self.headers["if-match"]
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
                self._answer(answer.status, kept, content)

            def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() != "content-length" or self.command == "HEAD":
                        self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
