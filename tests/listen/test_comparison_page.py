"""The page where performances are compared, in a browser, at three widths."""

import csv
import io
from pathlib import Path

import pytest

from tests.fixtures.browsing import assert_accessible, open_page, until

WIDTHS = [(1400, 950), (1024, 768), (390, 844)]
LINK = "?track=demo_01_steady&hit=demo_01_free&same_work=1&compare=1&at=2.0"
READY = "document.querySelectorAll('#compare .curve').length >= 4"


@pytest.fixture
def page(request, browser, served):
    width, height = getattr(request, "param", WIDTHS[0])
    shown, errors = open_page(browser, {"width": width, "height": height})
    shown.goto(f"{served.address}/")
    shown.wait_for_selector("#tracks button")
    yield shown
    shown.close()
    assert errors == []


def _compare(page):
    page.fill("#find", "demo_01_steady")
    until(page, "document.querySelectorAll('#tracks button').length === 1")
    page.locator("#tracks button").first.click()
    page.check("#same-work")
    page.wait_for_selector(".compare-hit")
    until(page, "!document.querySelector('#results').hasAttribute('aria-busy')")
    page.locator(".compare-hit").first.click()
    page.wait_for_selector("#compare .u-over")
    until(page, READY)


def _still(page, script):
    """Return a value once it no longer changes: sound goes on for a moment after a pause."""
    before, now = None, page.evaluate(script)
    while now != before:
        page.wait_for_timeout(100)
        before, now = now, page.evaluate(script)
    return now


def test_keys_choose_a_moment_and_a_range_of_the_curves(page):
    _compare(page)
    curves = page.locator("#compare .curves")
    curves.press("End")
    for _ in range(4):
        curves.press("ArrowLeft")
    until(page, "document.querySelector('#play').textContent === 'Pause'")
    until(page, "+document.querySelector('#compare .curves').getAttribute('aria-valuenow') > 8")
    page.locator("body").press("Space")
    until(page, "document.querySelector('#play').textContent !== 'Pause'")
    head = "new DOMMatrix(document.querySelector('#compare .playhead').style.transform).e"
    whole = _still(page, head)
    curves.press("+")
    until(page, f"Math.abs({head} - {whole}) > 20")
    curves.press("0")
    until(page, f"Math.abs({head} - {whole}) < 1")
    over = page.locator("#compare .curve .u-over").first
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 10, steps=5)
    page.mouse.up()
    until(page, f"Math.abs({head} - {whole}) > 20")
    curves.press("Home")
    until(page, "+document.querySelector('#compare .curves').getAttribute('aria-valuenow') < 8")
    assert curves.get_attribute("aria-valuetext").startswith("beat ")


@pytest.mark.parametrize("page", WIDTHS, ids=["1400", "1024", "390"], indirect=True)
def test_a_comparison_fits_is_accessible_and_follows_the_sound(page):
    _compare(page)
    assert "beats in common" in page.inner_text("#compare .said")
    until(page, "/^beat [1-9]/.test(document.querySelector('#compare .values').textContent)")
    before = page.inner_text("#compare .values")
    until(page, f"document.querySelector('#compare .values').textContent !== {before!r}")
    page.locator("body").press("Space")
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_click_on_a_curve_plays_from_that_moment(page):
    _compare(page)
    page.locator("body").press("Space")
    until(page, "document.querySelector('#compare .u-over').getBoundingClientRect().width > 50")
    box = page.locator("#compare .curve .u-over").first.bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2)
    until(page, "document.querySelector('#play').textContent === 'Pause'")
    total = page.inner_text("#deck-b .time").partition(" / ")[2]
    seconds = int(total.split(":")[0]) * 60 + int(total.split(":")[1])
    shown = page.inner_text("#deck-b .time").partition(" / ")[0]
    assert int(shown.split(":")[1]) > 0.5 * seconds
    page.locator("#compare .roll").click(position={"x": 300, "y": 20})
    page.wait_for_selector("#deck-a.on")


def test_the_comparison_is_saved_as_pictures_and_as_a_table(page):
    _compare(page)
    contents = {}
    for kind in ("png", "svg", "csv"):
        with page.expect_download() as saved:
            page.click(f"#compare .save-{kind}")
        assert saved.value.suggested_filename == f"demo_01_steady-and-demo_01_free.{kind}"
        contents[kind] = Path(saved.value.path()).read_bytes()
    assert contents["png"].startswith(b"\x89PNG")
    assert contents["svg"].count(b"<path") >= 10
    rows = list(csv.DictReader(io.StringIO(contents["csv"].decode())))
    assert float(rows[3]["a_tempo"]) > 20
    assert float(rows[3]["b_start_s"]) >= 0


def test_the_address_reproduces_query_hit_and_moment(browser, served):
    page, errors = open_page(browser, {"width": 1400, "height": 950})
    page.goto(f"{served.address}/{LINK}")
    until(page, READY)
    assert page.is_checked("#same-work")
    page.wait_for_selector("#hits li[aria-current=true]:has-text('free')")
    until(page, "document.querySelector('#deck-b .time').textContent.startsWith('0:02')")
    assert "hit=demo_01_free" in page.url
    page.click("#compare .close")
    until(page, "!location.search.includes('compare')")
    page.close()
    assert errors == []


def test_hits_are_saved_as_a_table(page):
    page.locator("#tracks button").first.click()
    page.wait_for_selector("#save-hits:not([hidden])")
    with page.expect_download() as saved:
        page.click("#save-hits")
    rows = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text())))
    assert [row["rank"] for row in rows] == [str(n + 1) for n in range(len(rows))]
    assert len(rows) == page.locator("#hits li").count()


def test_presets_and_conditions_narrow_the_hits(page):
    page.locator("#tracks button").first.click()
    page.wait_for_selector("#hits li")
    page.check("#other-work")
    until(page, "!document.querySelector('#results').hasAttribute('aria-busy')")
    until(page, "!document.querySelector('#hits').textContent.includes('demo_01')")
    page.uncheck("#other-work")
    slower = page.locator("#presets button", has_text="slower")
    slower.click()
    until(page, "location.search.includes('preset=like')")
    page.click("#clear")
    until(page, "document.querySelector('#presets button[aria-pressed=true]') === null")


def test_keys_open_and_close_a_comparison_and_choose_the_view(page):
    page.fill("#find", "demo_01_steady")
    page.locator("#tracks button").first.click()
    page.check("#same-work")
    page.wait_for_selector(".compare-hit")
    page.locator("h1").click()
    page.keyboard.press("c")
    until(page, READY)
    page.keyboard.press("c")
    page.wait_for_selector("#compare", state="hidden")
    page.keyboard.press("l")
    page.wait_for_selector("#heatmap-view:not([hidden])")
    page.keyboard.press("m")
    page.wait_for_selector("#map-view:not([hidden])")


@pytest.mark.parametrize("page", WIDTHS, ids=["1400", "1024", "390"], indirect=True)
def test_all_layers_are_visible_with_profile_and_predictions(page):
    page.click("#show-heatmap")
    page.wait_for_selector("#heatmap-view .profile canvas")
    table = page.locator("#heatmap-view table")
    last = table.locator("tbody tr").first.locator("td").last.bounding_box()
    view = page.locator("#heatmap-view").bounding_box()
    assert last["x"] + last["width"] <= view["x"] + view["width"] + 1
    table.locator("tbody td").nth(2).hover()
    until(page, "document.querySelector('.cell-said').textContent.includes('untrained')")
    table.locator("tbody button").nth(3).click()
    name = table.locator("tbody button").nth(3).inner_text()
    until(page, f"document.querySelector('.target-name').textContent === {name!r}")
    assert "predicted from other works" in page.inner_text("#heatmap-view .scatter-said")
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_map_is_coloured_by_a_target_zoomed_and_selected_from(page):
    until(page, "document.querySelector('#coloured-by optgroup') !== null")
    page.select_option("#coloured-by", "target:velocity_mean")
    page.wait_for_selector("#legend .scale")
    assert "MIDI" in page.inner_text("#legend")
    page.locator("#tracks button").first.click()
    page.wait_for_selector("#hits li")
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.wheel(0, -300)
    page.locator("#map").press("0")
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + box["height"] - 5, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.wait_for_selector("#region-line:not([hidden])")
    assert "tracks selected on the map" in page.inner_text("#region-said")
    page.click("#region-off")
    page.wait_for_selector("#region-line", state="hidden")


def test_the_map_is_coloured_by_what_is_like_the_query(page):
    until(
        page, "document.querySelector('#coloured-by optgroup[label=\"similarity to the query\"]')"
    )
    aspect = page.locator("#coloured-by option[value^='aspect:']").first.get_attribute("value")
    page.locator("#tracks button").first.click()
    page.wait_for_selector("#hits li")
    with page.expect_response("**/api/similarities?**") as answer:
        page.select_option("#coloured-by", aspect)
    found = answer.value.json()
    query = answer.value.url.partition("track=")[2].partition("&")[0]
    assert found["values"][found["track_ids"].index(query)] == 1
    page.wait_for_selector("#legend .scale")
    with page.expect_response("**/api/similarities?**") as answer:  # for every other query
        page.locator("#tracks button").nth(1).click()
    assert query not in answer.value.url


def test_a_stretch_of_the_waveform_is_a_query_for_passages(page):
    page.fill("#find", "demo_01_steady")
    page.locator("#tracks button").first.click()
    page.wait_for_selector("#hits li")
    until(page, "/ 0:/.test(document.querySelector('#deck-a .time').textContent)")
    box = page.locator("#deck-a .wave").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.3 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], y, steps=8)
    page.mouse.up()
    page.wait_for_selector("#hits small:has-text(' to ')")
    assert "passage similarity" in page.inner_text("#query-line")
    assert "passage=" in page.url


def test_dark_mode_is_accessible_and_remembered(page):
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    _compare(page)
    page.locator("body").press("Space")
    assert_accessible(page)
    page.reload()
    page.wait_for_selector("#tracks button")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_session_finds_the_most_rubato_where_it_differs_and_takes_the_picture_home(page):
    """Order by rubato, take the first, compare it with others of its work, save the picture."""
    until(page, "document.querySelectorAll('#order option').length > 10")
    page.select_option("#order", "rubato")
    until(page, "document.querySelector('#tracks small').textContent.startsWith('rubato ')")
    shown = page.locator("#tracks small").all_inner_texts()
    values = [float(one.split(" ")[1]) for one in shown if one.startswith("rubato ")]
    assert values == sorted(values, reverse=True)
    page.locator("#tracks button").first.click()
    page.check("#same-work")
    page.wait_for_selector(".compare-hit")
    page.wait_for_timeout(300)
    page.locator(".compare-hit").first.click()
    until(page, READY)
    page.click("#compare .differs")
    until(page, "document.querySelector('#compare .said').textContent.includes('differs most')")
    page.wait_for_selector("#deck-a.on")
    until(page, "document.querySelector('#play').textContent === 'Pause'")
    with page.expect_download() as saved:
        page.click("#compare .save-png")
    assert Path(saved.value.path()).stat().st_size > 10_000
    assert "compare=1" in page.url
