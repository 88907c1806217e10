"""deploy/proxy/Caddyfile in a real Caddy, in front of a stub that answers everything with 200."""

import base64
import http.client
import os
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CADDYFILE = Path(__file__).parents[2] / "deploy" / "proxy" / "Caddyfile"
HOST = "dagster.mess.localhost"
# Of "correct", with the least work: Caddy's own takes a second for each password.
HASHED = "$2b$04$xSo3Ebzkjz1AjYyY1YcmH.gbHALky.nlIvxbmP/KmMrWdFqZ0b3ca"

pytestmark = pytest.mark.skipif(
    not shutil.which("caddy"), reason="needs caddy on the PATH (Debian: caddy)"
)


class Upstream(BaseHTTPRequestHandler):
    """200 with what it was sent; 101 to a websocket."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, dict[str, str]]]

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        if len(self.rfile.read(length)) < length:
            self.close_connection = True
            return
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.seen.append((self.command, self.path, headers))
        if headers.get("upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.close_connection = True
            return
        body = b"from upstream"
        self.send_response(200)
        self.send_header("X-Frame-Options", "SAMEORIGIN")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = _answer

    def log_message(self, *_) -> None:
        pass


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


@pytest.fixture(scope="module")
def seen() -> list:
    return []


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxy") / "access.log"


@pytest.fixture(scope="module")
def proxy(seen, log):
    """The port of a Caddy that is gone afterwards."""
    handler = type("Handler", (Upstream,), {"seen": seen})
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = free_port()
    behind = f"127.0.0.1:{upstream.server_address[1]}"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("MESS_")},
        "HOME": str(log.parent),
        "XDG_CONFIG_HOME": str(log.parent),
        "XDG_DATA_HOME": str(log.parent),
        "MESS_PROXY_PORT": str(port),
        "MESS_PROXY_USER": "mess",
        "MESS_PROXY_PASSWORD_HASH": HASHED,
        "MESS_PROXY_MAX_BODY": "1KB",
        **{f"MESS_{name}_UPSTREAM": behind for name in ("DAGSTER", "VIEWER", "LISTEN", "MLFLOW")},
    }
    with log.open("w") as out:
        process = subprocess.Popen(
            ["caddy", "run", "--config", str(CADDYFILE), "--adapter", "caddyfile"],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)
        upstream.shutdown()
        upstream.server_close()


@pytest.fixture
def ask(proxy, seen):
    """A request as a browser of a logged-in person sends it; keywords change or remove headers."""
    seen.clear()
    site = f"{HOST}:{proxy}"

    def send(method="GET", path="/", *, body=None, password="correct", **headers):
        given = {"Host": site, **{name.replace("_", "-"): v for name, v in headers.items()}}
        if password is not None:
            token = base64.b64encode(f"mess:{password}".encode()).decode()
            given["Authorization"] = f"Basic {token}"
        given = {name: value.replace("SITE", site) for name, value in given.items()}
        connection = http.client.HTTPConnection("127.0.0.1", proxy, timeout=5)
        try:
            connection.request(method, path, body=body, headers=given)
            response = connection.getresponse()
            response.text = "" if response.status == 101 else response.read().decode()
            return response
        finally:
            connection.close()

    return send


WEBSOCKET = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Protocol": "graphql-ws",
}
JSON = {"Content_Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/runs", {}),
        ("GET", "/runs", {"Sec_Fetch_Site": "same-origin"}),
        ("GET", "/runs", {"Sec_Fetch_Site": "none"}),
        ("POST", "/graphql", {**JSON}),
        ("POST", "/graphql", {**JSON, "Origin": "http://SITE", "Sec_Fetch_Site": "same-origin"}),
        ("POST", "/graphql", {"Content_Type": "application/json; charset=utf-8"}),
        ("POST", "/graphql", {**JSON, "Origin": "https://SITE"}),
    ],
)
def test_what_belongs_here_passes(ask, seen, method, path, headers):
    response = ask(method, path, body="{}" if method == "POST" else None, **headers)
    assert (response.status, response.text) == (200, "from upstream")
    [(_, _, received)] = seen
    assert "authorization" not in received


@pytest.mark.parametrize("name", ["dagster", "viewer", "listen", "mlflow"])
def test_each_service_has_a_name_and_asks_for_the_password(ask, name):
    assert ask(Host=f"{name}.mess.localhost").status == 200
    assert ask(Host=f"{name}.mess.localhost", password=None).status == 401
    assert ask(Host=f"{name}.mess.localhost", Origin="https://evil.example").status == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "mess.localhost", "localhost:3000"])
def test_a_foreign_host_is_refused(ask, seen, host):
    assert ask(Host=host).status == 421
    assert not seen


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/graphql", {"Origin": "https://evil.example"}),
        ("/graphql", {"Origin": "null"}),
        ("/graphql", {"Origin": "http://SITE.evil.example"}),
        ("/graphql", {"Origin": f"http://{HOST}:1"}),
        ("/graphql", {"Origin": "http://listen.mess.localhost"}),
        ("/graphql", {"Sec_Fetch_Site": "cross-site"}),
        ("/report_asset_materialization/tracks", {"Origin": "https://evil.example"}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_what_another_site_sends_is_refused_even_with_the_password(
    ask, seen, method, path, headers
):
    assert ask(method, path, body="{}", **JSON, **headers).status == 403
    assert not seen


@pytest.mark.parametrize(
    "path",
    ["/graphql?query=mutation{x}", "/graphql", "/GraphQL", "/graphql/", "/%67raphql?query=x"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_graphql_is_by_post_only(ask, seen, method, path):
    assert ask(method, path).status == 405
    assert not seen


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_graphql_takes_no_form(ask, seen, kind):
    headers = {"Content_Type": kind} if kind else {}
    assert ask("POST", "/graphql", body="{}", **headers).status == 415
    assert not seen


@pytest.mark.parametrize("password", [None, "", "wrong"])
def test_without_the_password_nothing_passes(ask, seen, password):
    for response in (
        ask(password=password),
        ask("POST", "/graphql", body="{}", password=password, **JSON),
        ask(path="/graphql", password=password, Origin="http://SITE", **WEBSOCKET),
    ):
        assert response.status == 401
    assert not seen


def test_a_websocket_of_the_page_passes(ask, seen):
    response = ask(path="/graphql", Origin="http://SITE", **WEBSOCKET)
    assert response.status == 101
    assert seen[0][2]["sec-websocket-protocol"] == "graphql-ws"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", None])
def test_a_websocket_from_elsewhere_is_refused(ask, seen, origin):
    headers = {**WEBSOCKET, **({"Origin": origin} if origin else {})}
    assert ask(path="/graphql", **headers).status == 403
    assert not seen


def test_a_large_body_is_cut_off(ask):
    assert ask("POST", "/graphql", body="x" * 4096, **JSON).status in {413, 502}


def test_answers_carry_security_headers(ask):
    for response in (ask(), ask(password=None), ask(Origin="https://evil.example")):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers.get_all("X-Frame-Options") == ["DENY"]
        assert response.headers["Referrer-Policy"] == "same-origin"


def test_the_log_holds_requests_and_no_credentials(ask, log):
    ask(path="/looked-for", Cookie="session=biscuit")
    deadline = time.monotonic() + 5
    while "/looked-for" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    text = log.read_text()
    assert "biscuit" not in text
    assert base64.b64encode(b"mess:correct").decode() not in text
