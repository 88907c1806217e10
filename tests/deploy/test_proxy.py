"""deploy/proxy/Caddyfile in a real Caddy, in front of a stub that answers with status 200."""

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
# bcrypt hash of "correct" with the lowest cost: Caddy's default takes a second per request.
HASHED = "$2b$04$xSo3Ebzkjz1AjYyY1YcmH.gbHALky.nlIvxbmP/KmMrWdFqZ0b3ca"

if not shutil.which("caddy"):
    pytest.skip("install Caddy (Debian: apt-get install caddy)", allow_module_level=True)


class Upstream(BaseHTTPRequestHandler):
    """Stub server: records requests and answers 200, or 101 to websockets."""

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
    """Port of a running Caddy, which is stopped afterwards."""
    handler = type("Handler", (Upstream,), {"seen": seen})
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = free_port()
    upstream_address = f"127.0.0.1:{upstream.server_address[1]}"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("MESS_")},
        "HOME": str(log.parent),
        "XDG_CONFIG_HOME": str(log.parent),
        "XDG_DATA_HOME": str(log.parent),
        "MESS_PROXY_PORT": str(port),
        "MESS_PROXY_USER": "mess",
        "MESS_PROXY_PASSWORD_HASH": HASHED,
        "MESS_PROXY_MAX_BODY": "1KB",
        **{
            f"MESS_{name}_UPSTREAM": upstream_address
            for name in ("DAGSTER", "VIEWER", "LISTEN", "MLFLOW")
        },
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
def request_page(proxy, seen):
    """Function that sends a request as a logged-in browser does; keywords change its headers."""
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
def test_requests_of_the_site_itself_pass(request_page, seen, method, path, headers):
    response = request_page(method, path, body="{}" if method == "POST" else None, **headers)
    assert (response.status, response.text) == (200, "from upstream")
    [(_, _, received)] = seen
    assert "authorization" not in received


@pytest.mark.parametrize("name", ["dagster", "viewer", "listen", "mlflow"])
def test_each_service_has_a_name_and_requires_the_password(request_page, name):
    assert request_page(Host=f"{name}.mess.localhost").status == 200
    assert request_page(Host=f"{name}.mess.localhost", password=None).status == 401
    assert request_page(Host=f"{name}.mess.localhost", Origin="https://evil.example").status == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "mess.localhost", "localhost:3000"])
def test_unknown_hosts_are_refused(request_page, seen, host):
    assert request_page(Host=host).status == 421
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
def test_requests_from_other_sites_are_refused_even_with_the_password(
    request_page, seen, method, path, headers
):
    assert request_page(method, path, body="{}", **JSON, **headers).status == 403
    assert not seen


@pytest.mark.parametrize(
    "path",
    ["/graphql?query=mutation{x}", "/graphql", "/GraphQL", "/graphql/", "/%67raphql?query=x"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_graphql_accepts_only_post(request_page, seen, method, path):
    assert request_page(method, path).status == 405
    assert not seen


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_graphql_refuses_forms(request_page, seen, kind):
    headers = {"Content_Type": kind} if kind else {}
    assert request_page("POST", "/graphql", body="{}", **headers).status == 415
    assert not seen


@pytest.mark.parametrize("password", [None, "", "wrong"])
def test_requests_without_the_password_are_refused(request_page, seen, password):
    for response in (
        request_page(password=password),
        request_page("POST", "/graphql", body="{}", password=password, **JSON),
        request_page(path="/graphql", password=password, Origin="http://SITE", **WEBSOCKET),
    ):
        assert response.status == 401
    assert not seen


def test_websockets_of_the_page_pass(request_page, seen):
    response = request_page(path="/graphql", Origin="http://SITE", **WEBSOCKET)
    assert response.status == 101
    assert seen[0][2]["sec-websocket-protocol"] == "graphql-ws"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", None])
def test_websockets_from_elsewhere_are_refused(request_page, seen, origin):
    headers = {**WEBSOCKET, **({"Origin": origin} if origin else {})}
    assert request_page(path="/graphql", **headers).status == 403
    assert not seen


def test_large_bodies_are_refused(request_page):
    assert request_page("POST", "/graphql", body="x" * 4096, **JSON).status in {413, 502}


def test_answers_carry_security_headers(request_page):
    for response in (
        request_page(),
        request_page(password=None),
        request_page(Origin="https://evil.example"),
    ):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers.get_all("X-Frame-Options") == ["DENY"]
        assert response.headers["Referrer-Policy"] == "same-origin"


def test_the_log_contains_requests_but_no_credentials(request_page, log):
    request_page(path="/looked-for", Cookie="session=biscuit")
    deadline = time.monotonic() + 5
    while "/looked-for" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    text = log.read_text()
    assert "biscuit" not in text
    assert base64.b64encode(b"mess:correct").decode() not in text
