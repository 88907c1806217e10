"""A served application and a real browser to open it in."""

import shutil
import socket
import threading

import pytest

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}


class Served:
    """An application on a free port, in a thread."""

    def __init__(self, root):
        import anyio
        import anyio._backends._asyncio
        import uvicorn

        from mess_core.listen.app import create_app

        # Loaded in the thread, anyio's files would be compiled there, since pytest looks into
        # those of plugins; CPython 3.11 fails where two threads compile at once (gh-106905).
        for name in dir(anyio):
            getattr(anyio, name)
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        bound.listen()  # who asks before the server has started waits
        self.address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(create_app(root), log_level="error"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [bound]})
        self.thread.start()

    def stop(self):
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (dev extra)")
    with playwright.sync_playwright() as running:
        installed = shutil.which("chromium") or shutil.which("google-chrome")
        try:
            launched = running.chromium.launch(
                executable_path=installed,
                args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
            )
        except playwright.Error as error:
            pytest.skip(f"no Chromium to drive (playwright install chromium): {error}")
        yield launched
        launched.close()


def opened(browser, viewport):
    """A page, and the list that its errors and warnings go to."""
    page = browser.new_page(viewport=viewport)
    page.set_default_timeout(15_000)
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None,
    )
    return page, complaints


def until(page, script):
    """Wait for a condition; the page's own policy forbids Playwright to wait in the page."""
    for _ in range(1500):
        if page.evaluate(script):
            return
        page.wait_for_timeout(10)
    shown = page.inner_text("body")[:2000]
    raise AssertionError(f"{script} was not true within 15 s; the page shows:\n{shown}")


def accessible(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
