"""Images by URL, from real servers on this machine: what is public is fetched, and nothing else is reached.

The loopback address is allowed in most of these tests, so that there is somebody to answer; no test leaves this
machine.
"""

import gzip
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from image_samples import encoded, scene
from scripted_server import Behave, ScriptedServer, answering, redirecting

from lookalike.errors import (
    ImageTooLarge,
    InvalidImage,
    LookalikeError,
    UnsupportedImage,
    UrlRefused,
    UrlUnreachable,
)
from lookalike.images.addresses import is_reachable, resolve
from lookalike.images.limits import ImageLimits
from lookalike.images.remote import UrlFetcher

PNG = encoded(scene(40, 30), "PNG")
LOOPBACK = frozenset({ipaddress.ip_network("127.0.0.1/32")})
LIMITS = ImageLimits(max_bytes=200_000)
Serve = Callable[..., ScriptedServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[ScriptedServer] = []

    def start(behave: Behave, tls: ssl.SSLContext | None = None) -> ScriptedServer:
        servers.append(ScriptedServer(behave, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def local_names(host: str, port: int) -> list[str]:
    """images.example is this machine; whatever else is asked fails the test."""
    return {"images.example": ["127.0.0.1"], "127.0.0.1": ["127.0.0.1"]}[host]


def fetcher(**changes: object) -> UrlFetcher:
    settings = {
        "limits": LIMITS,
        "timeout_s": 10.0,
        "ports": None,
        "allow_addresses": LOOPBACK,
        "resolver": local_names,
        **changes,
    }
    return UrlFetcher(**settings)  # type: ignore[arg-type]


def never(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


# What is fetched


def test_an_image_is_fetched_with_the_name_in_the_host_header_and_nothing_that_identifies(serve: Serve) -> None:
    server = serve(answering(PNG, "Content-Type: text/plain"))
    assert fetcher().fetch(f"http://images.example:{server.port}/a%20b/c.png?size=1&x=%C3%A9#part") == PNG
    lines = server.requests[0].split("\r\n")
    assert lines[0] == "GET /a%20b/c.png?size=1&x=%C3%A9 HTTP/1.1"
    headers = {line.partition(":")[0].lower(): line.partition(": ")[2] for line in lines[1:] if line}
    assert headers == {
        "host": f"images.example:{server.port}",
        "accept": "image/*",
        "accept-encoding": "identity",
        "user-agent": "lookalike",
    }


def test_the_proxy_of_the_environment_is_not_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(answering(PNG))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetcher().fetch(f"http://images.example:{server.port}/") == PNG


def test_a_body_until_the_end_of_the_connection_and_a_chunked_one(serve: Serve) -> None:
    until_end = serve(answering(PNG, length=False))
    assert fetcher().fetch(f"http://images.example:{until_end.port}/") == PNG
    pieces = [PNG[start : start + 50] for start in range(0, len(PNG), 50)]
    chunks = b"".join(b"%x;note=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    chunked = serve(answering(chunks, "Transfer-Encoding: chunked", length=False))
    assert fetcher().fetch(f"http://images.example:{chunked.port}/") == PNG


def test_the_next_address_is_tried_when_the_first_does_not_answer(serve: Serve) -> None:
    server = serve(answering(PNG))
    allowed = frozenset({ipaddress.ip_network("127.0.0.0/8")})
    both = fetcher(resolver=lambda host, port: ["127.0.0.2", "127.0.0.1"], allow_addresses=allowed)
    assert both.fetch(f"http://images.example:{server.port}/") == PNG


def test_redirects_are_followed_relative_ones_too(serve: Serve) -> None:
    def behave(connection: socket.socket, server: ScriptedServer) -> None:
        path = server.requests[-1].split()[1]
        steps = {"/1": "/2", "/2": "3", "/3": f"http://127.0.0.1:{server.port}/image"}
        (redirecting(steps[path]) if path in steps else answering(PNG))(connection, server)

    server = serve(behave)
    assert fetcher().fetch(f"http://images.example:{server.port}/1") == PNG
    assert [request.split()[1] for request in server.requests] == ["/1", "/2", "/3", "/image"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_status_of_a_redirect(serve: Serve, status: int) -> None:
    image = serve(answering(PNG))
    first = serve(redirecting(f"http://images.example:{image.port}/", status))
    assert fetcher().fetch(f"http://images.example:{first.port}/") == PNG


# What is refused before anything is connected


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://images.example/a.png",
        "gopher://images.example/",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "//images.example/a.png",
        "images.example/a.png",
        "",
        "http://",
        "http:///a.png",
        "http://user@images.example/",
        "http://user:secret@images.example/",
        "http://:secret@images.example/",
        "http://@images.example/",
        "http://images.example:99999/",
        "http://images.example:port/",
        "http://images.example/a b.png",
        "http://images.example/a\r\nHost: other",
        "http://images.example/\x00",
        " http://images.example/",
        "http://[::1/a.png",
    ],
)
def test_what_is_no_plain_http_url_is_refused_without_a_lookup(url: str) -> None:
    with pytest.raises(UrlRefused):
        fetcher(resolver=never).fetch(url)


@pytest.mark.parametrize("port", [22, 25, 6379, 8000, 8080, 9000])
def test_other_ports_are_refused_unless_allowed(port: int) -> None:
    plain = UrlFetcher(limits=LIMITS, resolver=never)
    with pytest.raises(UrlRefused) as caught:
        plain.fetch(f"http://images.example:{port}/")
    assert caught.value.details == {"port": port}


NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 -- asked for, not bound
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    """RFC 6890's special ranges, and IPv6 forms that stand for an IPv4 address of them."""
    inside = UrlFetcher(limits=LIMITS, resolver=lambda host, port: [address])
    with pytest.raises(UrlRefused) as caught:
        inside.fetch("http://images.example/a.png")
    assert caught.value.code == "url_refused"


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::", "2606:4700::1111", "2a00:1450::1"],
)
def test_public_addresses_are_not(address: str) -> None:
    assert is_reachable(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_what_is_allowed_is_allowed_in_either_form(address: str) -> None:
    assert is_reachable(ipaddress.ip_address(address), LOOPBACK)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "127.0.0.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "localhost",
    ],
)
def test_other_ways_to_write_loopback_are_refused_by_the_systems_own_resolver(host: str) -> None:
    with pytest.raises(UrlRefused, match="not a public address"):
        UrlFetcher(limits=LIMITS).fetch(f"http://{host}/a.png")


@pytest.mark.parametrize("answer", [["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["8.8.8.8", "::1"]])
def test_a_name_with_public_and_private_addresses_is_refused_as_a_whole(answer: list[str]) -> None:
    with pytest.raises(UrlRefused):
        UrlFetcher(limits=LIMITS, resolver=lambda host, port: answer).fetch("http://images.example/")


def test_a_name_is_looked_up_once_and_its_second_answer_gains_nothing(serve: Serve) -> None:
    """DNS rebinding: the checked address is the one that is connected to."""
    server = serve(answering(PNG))
    answers = iter([["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"]])
    rebinding = fetcher(resolver=lambda host, port: next(answers))
    assert rebinding.fetch(f"http://images.example:{server.port}/") == PNG
    assert next(answers) == ["10.0.0.1"], "one lookup for one request"
    with pytest.raises(UrlRefused):
        rebinding.fetch(f"http://images.example:{server.port}/")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "target",
    [
        "http://10.0.0.1/secret.png",
        "http://169.254.169.254/latest/meta-data/",
        "//10.0.0.1/secret.png",
        "http://[::1]/",
        "file:///etc/passwd",
        "ftp://images.example/a.png",
        "http://user:secret@images.example/",
        "http://[::1",
        "http://images.example/a b",
    ],
)
def test_a_redirect_to_where_no_url_may_lead_is_refused(serve: Serve, target: str) -> None:
    server = serve(redirecting(target))

    def names(host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if host == "images.example" else [host]

    with pytest.raises(UrlRefused):
        fetcher(resolver=names).fetch(f"http://images.example:{server.port}/")
    assert len(server.requests) == 1


def test_a_redirect_to_another_port_is_checked_like_the_first_url(serve: Serve) -> None:
    inner = serve(answering(PNG))
    server = serve(redirecting(f"http://images.example:{inner.port}/"))
    with pytest.raises(UrlRefused):
        fetcher(ports=frozenset({server.port})).fetch(f"http://images.example:{server.port}/")
    assert inner.requests == []


def test_four_redirects_are_one_too_many_and_a_circle_ends(serve: Serve) -> None:
    server = serve(redirecting("/again"))
    with pytest.raises(UrlUnreachable, match="redirects"):
        fetcher().fetch(f"http://images.example:{server.port}/")
    assert len(server.requests) == 4


# What is given up


def test_a_redirect_without_a_target_and_other_statuses(serve: Serve) -> None:
    for status in ("204 No Content", "206 Partial", "304 Not Modified", "401 Who", "404 Gone", "500 Oh", "302 Found"):
        server = serve(answering(b"", status=status))
        with pytest.raises(UrlUnreachable):
            fetcher().fetch(f"http://images.example:{server.port}/")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "GZIP"])
def test_a_compressed_body_is_not_unpacked(serve: Serve, encoding: str) -> None:
    server = serve(answering(gzip.compress(PNG), f"Content-Encoding: {encoding}"))
    with pytest.raises(UrlUnreachable, match="compressed"):
        fetcher().fetch(f"http://images.example:{server.port}/")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", InvalidImage),
        (b"<html>not found</html>", UnsupportedImage),
        (PNG[:200], InvalidImage),
        (gzip.compress(PNG), UnsupportedImage),
    ],
)
def test_a_body_that_is_no_image(serve: Serve, body: bytes, error: type[LookalikeError]) -> None:
    server = serve(answering(body, "Content-Type: image/png"))
    with pytest.raises(error):
        fetcher().fetch(f"http://images.example:{server.port}/")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + PNG[:100],
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
def test_an_answer_that_is_not_http_or_ends_early(serve: Serve, answer: bytes) -> None:
    server = serve(lambda connection, server: connection.sendall(answer))
    with pytest.raises((UrlUnreachable, InvalidImage)):
        fetcher().fetch(f"http://images.example:{server.port}/")


def test_a_body_shorter_than_its_length_is_not_taken_for_whole(serve: Serve) -> None:
    gif = encoded(scene(40, 30), "GIF")  # a format whose header does not show that the end is missing

    def behave(connection: socket.socket, server: ScriptedServer) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(gif) + 1) + gif)

    with pytest.raises(UrlUnreachable, match="1 bytes early"):
        fetcher().fetch(f"http://images.example:{serve(behave).port}/")


def test_a_length_over_the_limit_is_refused_before_the_body_is_read(serve: Serve) -> None:
    def behave(connection: socket.socket, server: ScriptedServer) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200001\r\n\r\n")
        server.stopped.wait(20)  # nothing follows: who waits for it runs into the deadline

    server = serve(behave)
    with pytest.raises(ImageTooLarge):
        fetcher().fetch(f"http://images.example:{server.port}/")


@pytest.mark.parametrize("chunked", [False, True])
def test_an_endless_body_ends_at_the_limit(serve: Serve, chunked: bool) -> None:
    sent = []

    def behave(connection: socket.socket, server: ScriptedServer) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n" if chunked else b"") + b"\r\n")
        piece = bytes(10_000)
        while not server.stopped.is_set():
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            sent.append(len(piece))

    server = serve(behave)
    with pytest.raises(ImageTooLarge):
        fetcher().fetch(f"http://images.example:{server.port}/")
    assert sum(sent) < 20_000_000


def within(seconds: float, work: Callable[[], object]) -> float:
    """How long ``work``, which must raise UrlUnreachable, took."""
    start = time.monotonic()
    with pytest.raises(UrlUnreachable):
        work()
    took = time.monotonic() - start
    assert took < seconds
    return took


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
DRIPS = {
    "nothing": b"",
    "status line": b"HTTP/1.1 200 " + b"O" * 10_000,
    "headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 5_000,
    "one endless header": b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 50_000,
    "continue after continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000,
    "body": HEAD + bytes(50_000),
    "chunk sizes": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 5_000,
    "one chunk's extension": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 50_000,
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"T: 1\r\n" * 5_000,
}


@pytest.mark.parametrize("what", DRIPS)
def test_a_server_that_drips_is_left_at_the_deadline(serve: Serve, what: str) -> None:
    """Each byte comes well within any timeout of a single read: only one clock for everything ends this."""

    def behave(connection: socket.socket, server: ScriptedServer) -> None:
        server.drip(connection, DRIPS[what])
        server.stopped.wait(20)

    server = serve(behave)
    slow = fetcher(timeout_s=0.5)
    took = within(3.0, lambda: slow.fetch(f"http://images.example:{server.port}/"))
    assert took >= 0.4


def test_the_deadline_covers_all_redirects_together(serve: Serve) -> None:
    def behave(connection: socket.socket, server: ScriptedServer) -> None:
        server.stopped.wait(0.3)
        redirecting("/again")(connection, server)

    server = serve(behave)
    within(3.0, lambda: fetcher(timeout_s=0.5).fetch(f"http://images.example:{server.port}/"))
    assert len(server.requests) <= 2


def test_a_resolver_that_hangs_is_left_at_the_deadline() -> None:
    release = threading.Event()

    def hangs(host: str, port: int) -> list[str]:
        release.wait(20)
        return ["127.0.0.1"]

    try:
        within(3.0, lambda: fetcher(timeout_s=0.3, resolver=hangs).fetch("http://images.example/"))
    finally:
        release.set()


def test_a_port_where_nobody_listens_and_a_name_without_an_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UrlUnreachable):
        fetcher().fetch(f"http://images.example:{port}/")
    with pytest.raises(UrlUnreachable):
        fetcher(resolver=lambda host, port: []).fetch("http://images.example/")
    with pytest.raises(UrlUnreachable):
        resolve("a" * 64 + ".invalid", 80)  # a label too long to be asked for


def test_errors_say_nothing_of_what_is_inside(serve: Serve) -> None:
    """A stranger learns neither the address behind a name nor what a service there answered."""
    inside = UrlFetcher(limits=LIMITS, resolver=lambda host, port: ["10.1.2.3"])
    with pytest.raises(UrlRefused) as caught:
        inside.fetch("http://images.example/")
    assert "10.1.2.3" not in caught.value.message
    server = serve(answering(b"secret text", status="200 OK"))
    with pytest.raises(UnsupportedImage) as found:
        fetcher().fetch(f"http://images.example:{server.port}/")
    assert "secret" not in found.value.message


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for images.example and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=images.example", "-addext", "subjectAltName=DNS:images.example"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder / "certificate.pem", folder / "key.pem"


def test_https_checks_the_certificate_against_the_name(serve: Serve, certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    server = serve(answering(PNG), context)
    assert fetcher(tls=trusting).fetch(f"https://images.example:{server.port}/a.png") == PNG
    assert f"Host: images.example:{server.port}\r\n" in server.requests[0]
    with pytest.raises(UrlUnreachable, match="SSLCertVerificationError"):
        fetcher(tls=trusting).fetch(f"https://127.0.0.1:{server.port}/a.png")
    with pytest.raises(UrlUnreachable, match="SSLCertVerificationError"):
        fetcher().fetch(f"https://images.example:{server.port}/a.png")
    assert len(server.requests) == 1


def test_https_where_plain_http_is_spoken_and_the_other_way(serve: Serve, certificate: tuple[Path, Path]) -> None:
    plain = serve(answering(PNG))
    with pytest.raises(UrlUnreachable):
        fetcher(timeout_s=2.0).fetch(f"https://images.example:{plain.port}/")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    encrypted = serve(answering(PNG), context)
    with pytest.raises(UrlUnreachable):
        fetcher(timeout_s=2.0).fetch(f"http://images.example:{encrypted.port}/")


def test_a_handshake_that_never_ends_is_left_at_the_deadline(serve: Serve) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening:
        port = listening.getsockname()[1]
        within(3.0, lambda: fetcher(timeout_s=0.5).fetch(f"https://images.example:{port}/"))
