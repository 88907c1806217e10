"""The page in a real browser: what is clicked, heard, shown and said."""

import pytest

from tests.fixtures.browsing import NARROW, WIDE, Served, accessible, opened, until
from tests.fixtures.heads import save_layer_head


@pytest.fixture(scope="module")
def served(built):
    running = Served(built.root)
    yield running
    running.stop()


@pytest.fixture
def page(request, browser, served):
    shown, complaints = opened(browser, getattr(request, "param", WIDE))
    shown.goto(served.address)
    shown.wait_for_selector("#tracks button")
    yield shown
    shown.close()
    assert complaints == []


def _chosen(page, place=0):
    page.locator("#tracks button").nth(place).click()
    page.wait_for_selector("#hits li")


def _slide(page, place, value):
    page.locator("#sliders input").nth(place).evaluate(
        "(one, value) => { one.disabled = false; one.value = value;"
        " one.dispatchEvent(new Event('input')); }",
        value,
    )


def _settled(page):
    """A search begins a moment after the last change, and draws the hits anew."""
    page.wait_for_timeout(100)
    until(page, "!document.querySelector('#results').hasAttribute('aria-busy')")


@pytest.mark.parametrize("page", [WIDE, NARROW], ids=["1280", "390"], indirect=True)
def test_sliders_rank_and_say_why(page):
    _chosen(page)
    assert page.locator("#hits li").count() > 3
    overall = page.locator("#hits .main").all_inner_texts()
    _slide(page, 0, 0.7)
    _slide(page, 3, -0.4)
    _settled(page)
    until(page, "document.querySelectorAll('#hits li:first-child .bars i').length === 2")
    assert page.locator("#hits .main").all_inner_texts() != overall
    page.locator("#hits summary").first.click()
    page.wait_for_selector("#hits .why td")
    names = {row.split("\t")[0] for row in page.locator("#hits .why tbody tr").all_inner_texts()}
    assert len(names) == 13
    page.click("#clear")
    until(page, "document.querySelectorAll('#hits .bars').length === 0")
    assert page.locator("#hits .main").all_inner_texts() == overall


def test_unavailable_aspects_are_grey_and_say_why(page):
    off = page.locator("#sliders .aspect.off")
    for place in range(off.count()):
        assert off.nth(place).locator("input").is_disabled()
        assert "unavailable: " in off.nth(place).locator("small").inner_text()
    on = page.locator("#sliders .aspect:not(.off)")
    for place in range(on.count()):
        assert "confidence " in on.nth(place).locator("small").inner_text()
    assert on.count() + off.count() == 13


def test_a_hit_plays_and_switches_at_the_aligned_moment(page):
    _chosen(page)
    page.check("#same-work")
    until(page, "document.querySelector('#query-line').textContent.includes('hits')")
    page.wait_for_timeout(300)
    page.locator("#hits .main").first.click()
    page.wait_for_selector("#deck-b.on")
    until(page, "/^0:0[1-9]/.test(document.querySelector('#deck-b .time').textContent)")
    assert page.inner_text("#play") == "Pause"
    page.keyboard.press("b")
    page.wait_for_selector("#deck-a.on")
    assert "the same notes" in page.inner_text("#moment")
    until(page, "document.querySelector('#play').textContent === 'Pause'")
    page.locator("body").press("Space")
    until(page, "document.querySelector('#play').textContent === 'Play'")


def test_keys_walk_the_hits_and_find_tracks(page):
    _chosen(page)
    page.locator("h1").click()
    page.keyboard.press("j")
    page.wait_for_selector("#hits li:nth-child(1)[aria-current=true]")
    page.keyboard.press("j")
    page.wait_for_selector("#hits li:nth-child(2)[aria-current=true]")
    page.keyboard.press("k")
    page.wait_for_selector("#hits li:nth-child(1)[aria-current=true]")
    page.keyboard.press("/")
    page.keyboard.type("no such piece")
    until(page, "document.querySelector('#found').textContent.startsWith('0 of')")


def test_filters_narrow_the_hits(page):
    _chosen(page)
    before = page.locator("#hits li").count()
    select = page.locator("#selects label:not([hidden]) select").first
    values = select.locator("option").evaluate_all("all => all.map((one) => one.value)")
    select.select_option(values[1])
    until(page, f"document.querySelectorAll('#hits li').length < {before}")


def test_passages_are_found_and_left(page):
    _chosen(page)
    page.click("#passages")
    page.wait_for_selector("#hits small:has-text(' to ')")
    assert "passages" in page.inner_text("#query-line")
    page.click("#whole")
    until(page, "!document.querySelector('#query-line').textContent.includes('passages')")


def test_the_map_is_clicked_and_the_layers_are_shown(page):
    until(page, "document.querySelector('#map-line').textContent.includes('tracks by')")
    canvas = page.locator("#map")
    canvas.scroll_into_view_if_needed()
    point = page.evaluate(
        """async () => {
            const found = await (await fetch('/api/map')).json();
            const size = document.querySelector('#map').clientWidth;
            const one = found.points[0];
            return [size / 2 + one.x * (size / 2 - 12), size / 2 - one.y * (size / 2 - 12)];
        }"""
    )
    canvas.click(position={"x": point[0], "y": point[1]})
    page.wait_for_selector("#hits li")
    page.click("#show-heatmap")
    page.wait_for_selector("#heatmap-view td")
    assert page.locator("#heatmap-view tbody tr").count() > 10


@pytest.mark.parametrize("page", [WIDE, NARROW], ids=["1280", "390"], indirect=True)
def test_the_page_fits_and_isaccessible(page):
    accessible(page)
    _chosen(page)
    _slide(page, 0, 0.5)
    page.wait_for_selector("#hits .bars")
    page.locator("#hits summary").first.click()
    page.wait_for_selector("#hits .why td")
    page.click("#show-heatmap")
    page.wait_for_selector("#heatmap-view td")
    page.locator("#hits .main").first.click()
    page.wait_for_selector("#deck-b.on")
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_recording_of_ones_own_finds_itself(page, corpus, served, built):
    path = sorted(corpus.glob("*.flac"))[0]
    page.click("#upload summary")
    page.set_input_files("#file", path)
    page.wait_for_selector("#hits li")
    assert page.locator("#hits .score").first.inner_text() == "1.000"
    assert f"Searched with {path.name}" in page.inner_text("#upload-state")


def test_a_head_or_aspects_are_chosen(browser, workbench):
    save_layer_head(workbench.layout, 3, "third")
    save_layer_head(workbench.layout, 3, "zz-foreign", identity={"encoder": "f@2"})
    running = Served(workbench.root)
    page, complaints = opened(browser, WIDE)
    try:
        page.goto(running.address)
        page.wait_for_selector("#heads:not([hidden])")
        assert "another encoder" in page.inner_text("#head-said")
        assert page.locator("#head option[disabled]").inner_text() == "zz-foreign (unavailable)"
        _chosen(page)
        overall = page.locator("#hits .main").all_inner_texts()
        _slide(page, 0, 0.7)
        page.wait_for_selector("#hits .bars")
        page.select_option("#head", "third")
        until(page, "document.querySelector('#query-line').textContent.includes('head third')")
        assert page.locator("#hits .bars").count() == 0
        assert page.locator("#sliders input").first.input_value() == "0"
        assert "not compared yet" in page.inner_text("#head-said")
        accessible(page)
        _slide(page, 0, 0.7)
        page.wait_for_selector("#hits .bars")
        assert page.input_value("#head") == ""
        page.click("#clear")
        until(page, "document.querySelector('#query-line').textContent.includes('overall')")
        assert page.locator("#hits .main").all_inner_texts() == overall
    finally:
        page.close()
        running.stop()
    assert complaints == []


def test_an_empty_library_says_what_to_do(browser, tmp_path):
    running = Served(tmp_path)
    page, complaints = opened(browser, WIDE)
    try:
        page.goto(running.address)
        page.wait_for_selector("#notice:not([hidden])")
        assert "There is no library here yet" in page.inner_text("#notice")
        assert page.locator("#find").is_disabled()
        accessible(page)
    finally:
        page.close()
        running.stop()
    assert complaints == []


def test_missing_audio_and_a_stopped_server_are_told(browser, workbench):
    import pandas as pd

    place = workbench.layout.tracks
    table = pd.read_parquet(str(place))
    table["audio_path"] = "/nowhere/gone.flac"
    table.to_parquet(str(place))
    running = Served(workbench.root)
    page, _ = opened(browser, WIDE)  # the browser itself reports the failed requests
    try:
        page.goto(running.address)
        page.wait_for_selector("#tracks button")
        assert "no audio" in page.locator("#tracks small").first.inner_text()
        _chosen(page)
        page.locator("#hits .main").first.click()
        page.wait_for_selector("#notice:not([hidden])")
        assert "the audio file is missing" in page.inner_text("#notice")
        running.stop()
        page.locator("#tracks button").nth(2).click()
        until(page, "document.querySelector('#notice').textContent.includes('does not answer')")
    finally:
        page.close()
        running.stop()
