"""Layers of several encoders on the page: one heatmap at a time, profiles side by side."""

import shutil

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from mess_core.listen.app import create_app
from tests.fixtures.browsing import Served, assert_accessible, open_page, until

OTHER = "other-encoder"


@pytest.fixture
def two_encoders(workbench):
    """A library in which a second encoder was probed, on fewer tracks and with lower scores."""
    folder = workbench.layout.root / "probing"
    shutil.copytree(str(workbench.layout.probing), str(folder / OTHER))
    path = str(folder / OTHER / "results.parquet")
    table = pd.read_parquet(path)
    table.assign(r2=table["r2"] - 0.5, n=table["n"] - 1).to_parquet(path)
    return workbench


def test_layers_of_every_probed_encoder_are_told(two_encoders):
    client = TestClient(create_app(two_encoders.root), base_url="http://127.0.0.1")
    own = client.get("/api/heatmap").json()
    assert (own["folder"], own["encoders"]) == ("untrained-tiny", [OTHER, "untrained-tiny"])
    other = client.get("/api/heatmap", params={"encoder": OTHER}).json()
    assert other["folder"] == OTHER
    assert other["r2"][0][0] == pytest.approx(own["r2"][0][0] - 0.5, abs=2e-3)
    target = own["targets"][0]
    shown = [
        client.get("/api/layer", params={"target": target, "encoder": one}).json()
        for one in own["encoders"]
    ]
    assert shown[0]["tracks"] == shown[1]["tracks"] - 1
    assert shown[0]["works"] == shown[1]["works"] > 1


@pytest.mark.parametrize("name", ["absent", "../probing", "", "other-encoder/.."])
def test_an_encoder_that_was_not_probed_is_refused_by_name(two_encoders, name):
    client = TestClient(create_app(two_encoders.root), base_url="http://127.0.0.1")
    for path, others in (("heatmap", {}), ("layer", {"target": "tempo"})):
        answer = client.get(f"/api/{path}", params={**others, "encoder": name})
        assert answer.status_code == 404
        assert "other-encoder, untrained-tiny" in answer.json()["remedy"]


def test_profiles_stand_side_by_side_and_the_heatmap_is_of_the_chosen_encoder(
    browser, two_encoders
):
    served = Served(two_encoders.root)
    try:
        page, errors = open_page(browser, {"width": 1400, "height": 950})
        page.goto(f"{served.address}/")
        page.wait_for_selector("#tracks button")
        page.click("#show-heatmap")
        until(page, "document.querySelectorAll('.profile figure canvas').length === 2")
        first, second = page.locator(".profile figure").all()
        assert "untrained-tiny" in first.inner_text()
        assert OTHER in second.inner_text()
        assert first.bounding_box()["y"] == second.bounding_box()["y"]
        assert "different tracks" in page.inner_text(".not-comparable")
        chosen = page.inner_text(".target-name")
        cell = page.locator("#heatmap-view tbody td").first
        before = int(cell.inner_text())
        page.select_option("#heatmap-view .encoder", OTHER)
        until(page, f"document.querySelector('.profile figure').innerText.includes('{OTHER}')")
        assert int(cell.inner_text()) == pytest.approx(before - 50, abs=1)
        assert page.inner_text(".target-name") == chosen
        assert_accessible(page)
        page.set_viewport_size({"width": 390, "height": 844})
        until(page, "document.documentElement.scrollWidth <= window.innerWidth")
        page.close()
        assert errors == []
    finally:
        served.stop()


def test_with_one_encoder_there_is_nothing_to_choose(browser, served):
    page, errors = open_page(browser, {"width": 1400, "height": 950})
    page.goto(f"{served.address}/")
    page.wait_for_selector("#tracks button")
    page.click("#show-heatmap")
    page.wait_for_selector(".profile figure canvas")
    assert page.locator(".profile figure").count() == 1
    assert page.locator("#heatmap-view .encoder").is_hidden()
    assert page.locator(".not-comparable").is_hidden()
    page.close()
    assert errors == []
