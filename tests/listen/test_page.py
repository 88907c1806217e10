"""Browser tests of the search page."""

import pytest

from tests.fixtures.browsing import NARROW, WIDE, Served, assert_accessible, open_page, until
from tests.fixtures.heads import save_layer_head


@pytest.fixture
def page(request, browser, served):
    shown, errors = open_page(browser, getattr(request, "param", WIDE))
    shown.goto(served.address)
    shown.wait_for_selector("#tracks button")
    yield shown
    shown.close()
    assert errors == []


def _choose(page, index=0):
    page.locator("#tracks button").nth(index).click()
    page.wait_for_selector("#hits li")


def _set_slider(page, index, value):
    page.locator("#sliders input").nth(index).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        value,
    )


def _wait_for_hits(page):
    """Wait for the search, which starts with a delay after the last change."""
    page.wait_for_timeout(100)
    until(page, "!document.querySelector('#results').hasAttribute('aria-busy')")


@pytest.mark.parametrize("page", [WIDE, NARROW], ids=["1280", "390"], indirect=True)
def test_sliders_rerank_and_hits_are_explained(page):
    _choose(page)
    assert page.locator("#hits li").count() > 3
    overall = page.locator("#hits .main").all_inner_texts()
    until(page, "document.querySelectorAll('#hits li:first-child .bars i').length === 3")
    assert "alike: " in page.inner_text("#hits li:first-child .words")
    assert "apart: " in page.inner_text("#hits li:first-child .words")
    _set_slider(page, 0, -0.7)
    _wait_for_hits(page)
    until(page, "document.querySelectorAll('#hits li:first-child .bars i').length === 1")
    assert page.locator("#hits .main").all_inner_texts() != overall
    page.locator("#hits summary").first.click()
    page.wait_for_selector("#hits .why td")
    names = {row.split("\t")[0] for row in page.locator("#hits .why tbody tr").all_inner_texts()}
    assert len(names) == 13
    page.click("#clear")
    until(page, "document.querySelector('#query-line').textContent.includes('overall')")
    assert page.locator("#hits .main").all_inner_texts() == overall


def test_unavailable_aspects_are_one_line_with_reasons_on_demand(page):
    off = page.locator("#off-list li")
    assert f"{off.count()} not available with this encoder" in page.inner_text("#off-count")
    assert not off.first.is_visible()
    page.click("#off-count")
    for index in range(off.count()):
        assert len(off.nth(index).inner_text().partition(": ")[2]) > 10
    on = page.locator("#sliders .aspect")
    for index in range(on.count()):
        assert "confidence " in on.nth(index).locator(".sr").text_content()
    assert on.count() + off.count() == 13


def test_a_hit_plays_and_switches_at_the_aligned_moment(page):
    _choose(page)
    page.check("#same-work")
    until(page, "document.querySelector('#query-line').textContent.includes('hits')")
    page.wait_for_timeout(300)
    page.locator("#hits .main").first.click()
    page.wait_for_selector("#deck-b.on")
    until(page, "/^0:0[1-9]/.test(document.querySelector('#deck-b .time').textContent)")
    assert page.inner_text("#play") == "Pause"
    page.keyboard.press("b")
    page.wait_for_selector("#deck-a.on")
    assert "Aligned by notes" in page.inner_text("#moment")
    until(page, "document.querySelector('#play').textContent === 'Pause'")
    page.locator("body").press("Space")
    until(page, "document.querySelector('#play').textContent === 'Play'")


def test_keyboard_shortcuts_step_through_hits_and_find_tracks(page):
    _choose(page)
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
    _choose(page)
    before = page.locator("#hits li").count()
    select = page.locator("#selects label:not([hidden]) select").first
    values = select.locator("option").evaluate_all("all => all.map((one) => one.value)")
    select.select_option(values[1])
    until(page, f"document.querySelectorAll('#hits li').length < {before}")


def test_a_suggested_query_is_one_click(page):
    page.wait_for_selector("#suggestions button")
    page.locator("#suggestions button").first.click()
    page.wait_for_selector("#hits li")
    assert page.locator("#tracks button[aria-current=true]").count() == 1


def test_passage_search_is_opened_and_closed(page):
    _choose(page)
    page.click("#passages")
    page.wait_for_selector("#hits small:has-text(' to ')")
    assert "passage similarity" in page.inner_text("#query-line")
    page.click("#whole")
    until(page, "!document.querySelector('#query-line').textContent.includes('passage similarity')")


def test_the_map_chooses_tracks_and_the_layers_are_shown(page):
    until(page, "document.querySelector('#map-line').textContent.includes('tracks (')")
    assert page.locator("#legend li").all_inner_texts() == ["free", "steady"]
    page.select_option("#placed-by", "sound")
    until(page, "document.querySelector('#map-line').textContent.includes('similar overall')")
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
def test_the_page_fits_and_is_accessible(page):
    assert_accessible(page)
    _choose(page)
    _set_slider(page, 0, 0.5)
    _wait_for_hits(page)
    until(page, "document.querySelectorAll('#hits li:first-child .bars i').length === 1")
    page.locator("#hits summary").first.click()
    page.wait_for_selector("#hits .why td")
    page.click("#show-heatmap")
    page.wait_for_selector("#heatmap-view td")
    page.locator("#hits .main").first.click()
    page.wait_for_selector("#deck-b.on")
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_an_uploaded_recording_finds_itself(page, corpus, served, built):
    path = sorted(corpus.glob("*.flac"))[0]
    page.click("#upload summary")
    page.set_input_files("#file", path)
    page.wait_for_selector("#hits li")
    assert page.locator("#hits .score").first.inner_text() == "1.000"
    assert f"Hits for {path.name}" in page.inner_text("#upload-state")


def test_a_head_and_aspects_exclude_each_other(browser, workbench):
    save_layer_head(workbench.layout, 3, "third")
    save_layer_head(workbench.layout, 3, "zz-foreign", identity={"encoder": "f@2"})
    running = Served(workbench.root)
    page, errors = open_page(browser, WIDE)
    try:
        page.goto(running.address)
        page.wait_for_selector("#heads:not([hidden])")
        assert "another encoder" in page.inner_text("#head-said")
        assert page.locator("#head option[disabled]").inner_text() == "zz-foreign (unavailable)"
        _choose(page)
        overall = page.locator("#hits .main").all_inner_texts()
        _set_slider(page, 0, 0.7)
        until(page, "document.querySelectorAll('#hits li:first-child .bars i').length === 1")
        page.select_option("#head", "third")
        until(page, "document.querySelector('#query-line').textContent.includes('head third')")
        assert page.locator("#sliders input").first.input_value() == "0"
        assert "not compared yet" in page.inner_text("#head-said")
        assert_accessible(page)
        _set_slider(page, 0, 0.7)
        until(page, "document.querySelectorAll('#hits li:first-child .bars i').length === 1")
        assert page.input_value("#head") == ""
        page.click("#clear")
        until(page, "document.querySelector('#query-line').textContent.includes('overall')")
        assert page.locator("#hits .main").all_inner_texts() == overall
    finally:
        page.close()
        running.stop()
    assert errors == []


def test_the_page_reports_an_empty_library(browser, tmp_path):
    running = Served(tmp_path)
    page, errors = open_page(browser, WIDE)
    try:
        page.goto(running.address)
        page.wait_for_selector("#notice:not([hidden])")
        assert "There is no library here yet" in page.inner_text("#notice")
        assert page.locator("#find").is_disabled()
        assert_accessible(page)
    finally:
        page.close()
        running.stop()
    assert errors == []


def test_missing_audio_and_a_stopped_server_are_reported(browser, workbench):
    import pandas as pd

    path = workbench.layout.tracks
    table = pd.read_parquet(str(path))
    table["audio_path"] = "/nowhere/gone.flac"
    table.to_parquet(str(path))
    running = Served(workbench.root)
    page, _ = open_page(browser, WIDE)  # the browser itself reports the failed requests
    try:
        page.goto(running.address)
        page.wait_for_selector("#tracks button")
        assert "no audio" in page.locator("#tracks small").first.inner_text()
        _choose(page)
        page.locator("#hits .main").first.click()
        page.wait_for_selector("#notice:not([hidden])")
        assert "the audio file is missing" in page.inner_text("#notice")
        running.stop()
        page.locator("#tracks button").nth(2).click()
        until(page, "document.querySelector('#notice').textContent.includes('is not responding')")
    finally:
        page.close()
        running.stop()
