"""Browser tests of the listening test page."""

import pytest

from mess_core.judgements.response_log import read_judgements
from tests.fixtures.browsing import NARROW, WIDE, Served, assert_accessible, open_page, until
from tests.fixtures.listening_test import QUESTIONS


def start(page, address):
    page.goto(address)
    page.wait_for_selector("#begin:enabled")
    page.click("#begin")
    page.wait_for_selector("#triplet:not([hidden])")


def play_all(page, by="keys"):
    for key, slot in zip("1ab", ("x", "left", "right"), strict=True):
        until(page, f"!document.querySelector('[data-place={slot}] button').disabled")
        if by == "keys":
            page.keyboard.press(key)
        else:
            page.click(f"[data-place={slot}] button")
        until(page, f"document.querySelector('[data-place={slot}]').matches('.done:not(.on)')")


def play_all_fast(page):
    """Replace playback by its events, because browsers are slow to start audio."""
    page.evaluate(
        """async () => {
            const real = HTMLMediaElement.prototype.play;
            HTMLMediaElement.prototype.play = async function () {
                for (const name of ['play', 'ended']) this.dispatchEvent(new Event(name));
            };
            for (const button of document.querySelectorAll('.clip button')) {
                while (button.disabled) await new Promise((done) => setTimeout(done, 5));
                button.click();
            }
            HTMLMediaElement.prototype.play = real;
        }"""
    )


def wait_for_count(page, number):
    until(page, f"document.querySelector('#count').textContent === '{number} of {QUESTIONS}'")


def test_a_complete_session_with_a_reload_in_the_middle(
    browser, listening_server, listening_layout
):
    page, errors = open_page(browser, WIDE)
    start(page, listening_server.address + "/listening-test.html")
    listener = page.evaluate("localStorage.getItem('mess-listener')")
    assert page.url.endswith(f"#listener={listener}")
    for number in range(QUESTIONS):
        if number == 9:
            page.reload()
            page.wait_for_selector("#begin:enabled")
            assert "You have answered 9 of 20 questions" in page.inner_text("#standing")
            page.click("#begin")
        wait_for_count(page, number)
        assert page.locator(".answers button:enabled").count() == 0
        page.keyboard.press("ArrowLeft")  # ignored: no clip has been played yet
        if number in (0, 1, 9):
            play_all(page, by="clicks" if number == 0 else "keys")
        else:
            play_all_fast(page)
        if number % 4:
            page.keyboard.press("ArrowRight" if number % 2 else "ArrowLeft")
        else:
            page.click("[data-answer=left]")
    page.wait_for_selector("#end:not([hidden])")
    text = page.inner_text("#end")
    assert "all 20 questions" in text
    assert not any(word in text.lower() for word in ("right", "wrong", "correct"))
    assert_accessible(page)
    page.reload()
    page.wait_for_selector("#end:not([hidden])")
    page.close()
    table = read_judgements(listening_layout)
    assert table["listener"].unique().tolist() == [listener]
    assert table["position"].tolist() == [*range(QUESTIONS)]
    expected = ["right" if number % 2 and number % 4 else "left" for number in range(QUESTIONS)]
    assert table["shown"].tolist() == expected
    assert (table[["plays_x", "plays_a", "plays_b"]] == 1).all(axis=None)
    assert table["seconds"].between(0, 60).all()
    assert errors == []


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
def test_the_page_fits_and_is_accessible(browser, listening_server, viewport):
    page, errors = open_page(browser, viewport)
    page.goto(listening_server.address + "/listening-test.html")
    page.wait_for_selector("#begin:enabled")
    assert_accessible(page)
    page.click("#begin")
    page.wait_for_selector("[data-place=x] button:enabled")
    assert_accessible(page)
    play_all(page)
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()
    assert errors == []


def test_listeners_continue_on_another_device_or_start_as_new(
    browser, listening_server, listening_layout
):
    first, errors = open_page(browser, WIDE)
    start(first, listening_server.address + "/listening-test.html")
    play_all(first)
    first.keyboard.press("ArrowLeft")
    wait_for_count(first, 1)
    second, more_errors = open_page(browser, NARROW)  # in its own browser context
    start(second, listening_server.address + "/listening-test.html")
    wait_for_count(second, 0)
    second.goto(first.url)
    until(second, "document.querySelector('#standing').textContent.includes('answered 1 of 20')")
    second.click("#begin")
    wait_for_count(second, 1)
    second.click("#self summary")
    second.click("#another")
    until(second, "document.querySelector('#standing').textContent.includes('are 20 questions')")
    assert second.url != first.url
    first.close()
    second.close()
    assert errors == more_errors == []
    assert len(read_judgements(listening_layout)) == 1


def test_failures_of_the_server_and_of_clips_are_reported(
    browser, listening_server, listening_layout
):
    page, _ = open_page(browser, WIDE)  # the browser itself reports the failed requests
    failure = {"of": ""}

    def intercept(route):
        if failure["of"] == "server":
            route.abort()
        elif failure["of"] == "clips" and "/clip" in route.request.url:
            route.fulfill(status=422, json={"problem": "?"})
        else:
            route.continue_()

    # Intercept from the start: a request in flight may be lost when interception begins.
    page.route("**/api/listening-test/**", intercept)
    start(page, listening_server.address + "/listening-test.html")
    play_all(page)
    ahead = "performance.getEntriesByType('resource').filter((one) => one.name.includes('/clip'))"
    until(page, f"{ahead}.length === 6")
    failure["of"] = "server"
    page.keyboard.press("ArrowLeft")
    until(page, "document.querySelector('#notice').textContent.includes('not been saved yet')")
    failure["of"] = "clips"
    page.keyboard.press("ArrowLeft")
    wait_for_count(page, 1)
    play_all(page)  # its clips were preloaded
    page.keyboard.press("ArrowLeft")
    wait_for_count(page, 2)
    page.wait_for_selector("#later:not([hidden])")
    failure["of"] = ""
    page.click("#later")
    play_all(page)
    page.keyboard.press("ArrowRight")
    wait_for_count(page, 3)
    page.close()
    # The skipped question is asked again later.
    assert read_judgements(listening_layout)["position"].tolist() == [0, 1, 3]


def test_the_page_reports_missing_triplets(browser, tmp_path):
    running = Served(tmp_path)
    page, errors = open_page(browser, NARROW)
    try:
        page.goto(running.address + "/listening-test.html")
        page.wait_for_selector("#notice:not([hidden])")
        assert "has not been prepared yet" in page.inner_text("#notice")
        assert page.locator("#begin").is_disabled()
        page.click("#prepare")  # an empty data root: it says what is missing
        until(page, "document.querySelector('#notice').textContent.includes('cannot be prepared')")
        assert str(tmp_path) in page.inner_text("#notice")
        assert_accessible(page)
        page.click("nav a")
        page.wait_for_selector("h1:has-text('search by ear')")
        page.click("nav a[href='listening-test.html']")
        page.wait_for_selector("#begin")
    finally:
        page.close()
        running.stop()
    assert errors == []
