"""The page of listeners in a real browser."""

import pytest

from mess_core.judgements.response_log import read_judgements
from tests.fixtures.browsing import NARROW, WIDE, Served, accessible, opened, until
from tests.fixtures.listening_test import QUESTIONS


def begun(page, address):
    page.goto(address)
    page.wait_for_selector("#begin:enabled")
    page.click("#begin")
    page.wait_for_selector("#triplet:not([hidden])")


def listened(page, by="keys"):
    for key, place in zip("1ab", ("x", "left", "right"), strict=True):
        until(page, f"!document.querySelector('[data-place={place}] button').disabled")
        if by == "keys":
            page.keyboard.press(key)
        else:
            page.click(f"[data-place={place}] button")
        until(page, f"document.querySelector('[data-place={place}]').matches('.done:not(.on)')")


def listened_fast(page):
    """Clips that are over as soon as they begin: a browser takes its time to start a sound."""
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


def count(page, number):
    until(page, f"document.querySelector('#count').textContent === '{number} of {QUESTIONS}'")


def test_twenty_questions_with_a_reload_in_the_middle(browser, judging, judged):
    page, complaints = opened(browser, WIDE)
    begun(page, judging.address + "/listening-test.html")
    listener = page.evaluate("localStorage.getItem('mess-listener')")
    assert page.url.endswith(f"#listener={listener}")
    for number in range(QUESTIONS):
        if number == 9:
            page.reload()
            page.wait_for_selector("#begin:enabled")
            assert "9 of 20 are answered" in page.inner_text("#standing")
            page.click("#begin")
        count(page, number)
        assert page.locator(".answers button:enabled").count() == 0
        page.keyboard.press("ArrowLeft")  # nothing was heard yet
        if number in (0, 1, 9):
            listened(page, by="clicks" if number == 0 else "keys")
        else:
            listened_fast(page)
        if number % 4:
            page.keyboard.press("ArrowRight" if number % 2 else "ArrowLeft")
        else:
            page.click("[data-answer=left]")
    page.wait_for_selector("#end:not([hidden])")
    said = page.inner_text("#end")
    assert "all 20 questions" in said
    assert not any(word in said.lower() for word in ("right", "wrong", "correct"))
    accessible(page)
    page.reload()
    page.wait_for_selector("#end:not([hidden])")
    page.close()
    table = read_judgements(judged)
    assert table["listener"].unique().tolist() == [listener]
    assert table["position"].tolist() == [*range(QUESTIONS)]
    wanted = ["right" if number % 2 and number % 4 else "left" for number in range(QUESTIONS)]
    assert table["shown"].tolist() == wanted
    assert (table[["plays_x", "plays_a", "plays_b"]] == 1).all(axis=None)
    assert table["seconds"].between(0, 60).all()
    assert complaints == []


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
def test_the_page_fits_and_is_accessible(browser, judging, viewport):
    page, complaints = opened(browser, viewport)
    page.goto(judging.address + "/listening-test.html")
    page.wait_for_selector("#begin:enabled")
    accessible(page)
    page.click("#begin")
    page.wait_for_selector("[data-place=x] button:enabled")
    accessible(page)
    listened(page)
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()
    assert complaints == []


def test_judges_go_on_elsewhere_or_start_anew(browser, judging, judged):
    first, complaints = opened(browser, WIDE)
    begun(first, judging.address + "/listening-test.html")
    listened(first)
    first.keyboard.press("ArrowLeft")
    count(first, 1)
    second, more = opened(browser, NARROW)  # a browser context of its own
    begun(second, judging.address + "/listening-test.html")
    count(second, 0)
    second.goto(first.url)
    until(second, "document.querySelector('#standing').textContent.startsWith('1 of 20')")
    second.click("#begin")
    count(second, 1)
    second.click("#self summary")
    second.click("#another")
    until(second, "document.querySelector('#standing').textContent.startsWith('20 questions')")
    assert second.url != first.url
    first.close()
    second.close()
    assert complaints == more == []
    assert len(read_judgements(judged)) == 1


def test_a_server_that_is_gone_and_clips_that_are_gone_are_told(browser, judging, judged):
    page, _ = opened(browser, WIDE)  # the browser itself reports the failed requests
    wrong = {"is": ""}

    def served(route):
        if wrong["is"] == "server":
            route.abort()
        elif wrong["is"] == "clips" and "/clip" in route.request.url:
            route.fulfill(status=422, json={"problem": "?"})
        else:
            route.continue_()

    # From the start: interception that begins while requests are under way may lose one.
    page.route("**/api/listening-test/**", served)
    begun(page, judging.address + "/listening-test.html")
    listened(page)
    ahead = "performance.getEntriesByType('resource').filter((one) => one.name.includes('/clip'))"
    until(page, f"{ahead}.length === 6")
    wrong["is"] = "server"
    page.keyboard.press("ArrowLeft")
    until(page, "document.querySelector('#notice').textContent.includes('not kept yet')")
    wrong["is"] = "clips"
    page.keyboard.press("ArrowLeft")
    count(page, 1)
    listened(page)  # its clips had come ahead
    page.keyboard.press("ArrowLeft")
    count(page, 2)
    page.wait_for_selector("#later:not([hidden])")
    wrong["is"] = ""
    page.click("#later")
    listened(page)
    page.keyboard.press("ArrowRight")
    count(page, 3)
    page.close()
    # The question that could not be heard comes again later.
    assert read_judgements(judged)["position"].tolist() == [0, 1, 3]


def test_without_triplets_the_page_says_what_to_do(browser, tmp_path):
    running = Served(tmp_path)
    page, complaints = opened(browser, NARROW)
    try:
        page.goto(running.address + "/listening-test.html")
        page.wait_for_selector("#notice:not([hidden])")
        assert "Materialise the `human_triplets` asset" in page.inner_text("#notice")
        assert page.locator("#begin").is_disabled()
        accessible(page)
        page.click("nav a")
        page.wait_for_selector("h1:has-text('search by ear')")
        page.click("nav a")
        page.wait_for_selector("#begin")
    finally:
        page.close()
        running.stop()
    assert complaints == []
