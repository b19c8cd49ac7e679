"""An S3 server of this machine, and a line to it that can be cut, held up and made careless.

The server is moto's, a process of its own: it keeps objects in memory, knows conditional puts, and logs every
request with its status.
"""

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

from lake.location import Location, location_of, settle, store_of
from lake.store import Bucket, Store

BUCKET = "lakes"
KEY_ID = "AKIDOFTHETESTS00"
SECRET = "secretOfTheTestsThatNobodyMayEverSee"
TOKEN = "tokenOfTheTestsThatNobodyMayEverSee"
_STARTS_WITHIN_S = 60
_OF_THE_LINE_ITSELF = ("content-length", "connection", "transfer-encoding", "server", "date")
# moto tells by the signature's scope that S3 is meant; it checks no signature.
_UNSIGNED = (
    "AWS4-HMAC-SHA256 Credential=x/20260204/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x"
)


@dataclass(frozen=True, slots=True)
class S3Server:
    """`log` has one line per request: `... "PUT /lakes/... HTTP/1.1" 412 -`."""

    endpoint: str
    log: Path

    def statuses(self, method: str, part: str) -> list[int]:
        """How the requests so far were answered that have `part` in their path, in their order."""
        lines = [line for line in self.log.read_text().splitlines() if f"{method} /" in line and part in line]
        return [int(line.split('" ')[1].split()[0]) for line in lines]


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """A server with one empty bucket, until the end of the block."""
    log = folder / "s3.log"
    command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with log.open("wb") as sink, subprocess.Popen(command, stdout=sink, stderr=sink) as process:
        try:
            endpoint = _endpoint(log, process)
            headers = {"Authorization": _UNSIGNED}
            with urlopen(Request(f"{endpoint}/{BUCKET}", b"", headers, method="PUT")):
                pass
            yield S3Server(endpoint, log)
        finally:
            process.terminate()


def _endpoint(log: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        _, said, rest = log.read_text().partition("Running on ")
        if said and "\n" in rest:
            return rest.split()[0]
        time.sleep(0.05)
    raise AssertionError(f"the S3 server did not start: {log.read_text()}")


def put_into_bucket(home: Path, endpoint: str, prefix: str) -> None:
    """Let the lake of `home` lie in the bucket; keys as the owner gives them, in the secrets folder."""
    folder = home / "secrets"
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"access_key_id": KEY_ID, "secret_access_key": SECRET, "session_token": TOKEN}
    for name, key in keys.items():
        (folder / f"lake__{name}").write_text(key)
    settle(home, Location(f"s3://{BUCKET}/{prefix}", endpoint))


def is_in_bucket(home: Path) -> bool:
    return bool(location_of(home).uri)


def copy_objects(source: Store, target: Store) -> None:
    """All files of one lake into another place."""
    for key in source.keys(""):
        target.write(key, source.read(key))


def bucket_of(home: Path) -> Bucket:
    store = store_of(home)
    assert isinstance(store, Bucket)
    return store


@dataclass(slots=True)
class Line:
    """A line to the server. While `is_cut` nobody answers. `before` is called with method and path of every
    request, before it goes on, and may hold it up; `careless` forgets the conditions of puts. The answer to
    the first put whose path ends with `loses_answer_to` does not arrive. While `refuses`, every request is
    answered as Amazon answers a wrong key, which repeats the request with what is secret in it."""

    endpoint: str
    is_cut: bool = False
    careless: bool = False
    loses_answer_to: str | None = None
    refuses: bool = False
    before: Callable[[str, str], None] = lambda method, path: None


@contextmanager
def line_to(server: S3Server) -> Iterator[Line]:
    """A line that behaves until it is told otherwise."""
    host = server.endpoint.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            line.before(self.command, self.path)
            if line.is_cut:
                self.close_connection = True
                return
            if line.refuses:
                self.refuse()
                return
            headers = dict(self.headers.items())
            if line.careless:
                headers = {k: v for k, v in headers.items() if k.lower() not in ("if-match", "if-none-match")}
            connection = http.client.HTTPConnection(host, timeout=30)
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            if line.loses_answer_to and self.command == "PUT" and self.path.endswith(line.loses_answer_to):
                line.loses_answer_to = None
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in (
                    "content-length",
                    "connection",
                    "transfer-encoding",
                    "server",
                    "date",
                ):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(content)

        def refuse(self) -> None:
            request = f"{self.command} {self.path} {dict(self.headers.items())} {SECRET}"
            content = (
                "<Error><Code>SignatureDoesNotMatch</Code><Message>The signature we calculated does not match"
                f"</Message><AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId><CanonicalRequest>{request}"
                "</CanonicalRequest></Error>"
            ).encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "PUT", "HEAD", "DELETE", "POST"):
        setattr(Handler, f"do_{method}", Handler.pass_on)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as listening:
        line = Line(f"http://127.0.0.1:{listening.server_port}")
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield line
        finally:
            listening.shutdown()
            thread.join()
