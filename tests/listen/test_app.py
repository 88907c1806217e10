"""The application serves only files of the library, refuses other sites, and reports problems."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import soundfile as sf
from fastapi.testclient import TestClient

from mess_core.evaluation.leaderboard import leaderboard_html
from mess_core.listen.app import create_app
from mess_core.listen.media import peaks
from mess_core.listen.moments import chroma_map
from mess_core.listen.overview import library_map, project
from mess_core.search import Library
from tests.fixtures.heads import save_layer_head


@pytest.fixture(scope="module")
def client(built):
    return TestClient(create_app(built.root), base_url="http://127.0.0.1")


@pytest.fixture(scope="module")
def tracks(client):
    return client.get("/api/library").json()["tracks"]


def test_audio_is_served_in_ranges(client, tracks, corpus):
    track = tracks[0]["track_id"]
    content = (corpus / f"{track}.flac").read_bytes()
    part = client.get("/api/audio", params={"track": track}, headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert part.content == content[100:200]
    assert client.get("/api/audio", params={"track": track}).content == content


def test_links_to_the_former_page_of_the_listening_test_still_work(client):
    answer = client.get("/judge.html", follow_redirects=False)
    assert answer.headers["location"] == "/listening-test.html"


@pytest.mark.parametrize("track", ["../../etc/passwd", "/etc/passwd", "", "nobody"])
def test_only_paths_of_the_track_table_are_served(client, track):
    answer = client.get("/api/audio", params={"track": track})
    assert answer.status_code in {404, 422}
    assert "has no audio here" in answer.json()["problem"]


@pytest.mark.parametrize("path", ["/../app.py", "/%2e%2e/app.py", "/vendor/../../app.py"])
def test_static_files_outside_their_folder_are_not_served(client, path):
    assert client.get(path).status_code == 404


def test_other_hosts_and_origins_are_refused(client, built, tone):
    assert client.get("/api/library", headers={"Host": "evil.example"}).status_code == 400
    answer = client.post(
        "/api/query?name=a.wav",
        content=tone.read_bytes(),
        headers={"Origin": "http://evil.example"},
    )
    assert answer.status_code == 422
    assert "another site" in answer.json()["problem"]
    open_client = TestClient(create_app(built.root, hosts=["*"]), base_url="http://mess.example")
    assert open_client.get("/api/library").status_code == 200


def test_the_content_security_policy_forbids_external_code(client):
    policy = client.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("similar?track=nobody", "not in the index"),
        ("similar?track={0}&aspects=tempo=x", "not a number"),
        ("similar?track={0}&aspects=tempo=0", "zero"),
        ("similar?track={0}&where=composer=Nobody", "no track passes"),
        ("similar?track={0}&where=audio_path=x", "cannot be filtered"),
        ("passages?track={0}&start_s=9999", "outside"),
        ("explain?query={0}&hit=nobody", "not in the index"),
        ("moment?query={0}&hit=nobody", "not in the library"),
    ],
)
def test_problems_are_reported_as_json(client, tracks, path, message):
    answer = client.get("/api/" + path.format(tracks[0]["track_id"]))
    assert answer.status_code == 422
    assert message in answer.json()["problem"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.exe", b"x", "not in a supported audio format"),
        ("a.wav", b"junk", "a.wav"),
        ("a.wav", b"", "a.wav"),
    ],
)
def test_errors_name_the_uploaded_file(client, name, content, message):
    answer = client.post(f"/api/query?name={name}", content=content)
    assert answer.status_code == 422
    assert message in answer.json()["problem"]
    assert "mess-query" not in answer.json()["problem"]


def test_moments_of_the_same_work_follow_the_notes(client, tracks):
    first = tracks[0]
    other = next(
        one for one in tracks[1:] if one["work_id"] == first["work_id"] and one is not first
    )
    query = {"query": first["track_id"], "hit": other["track_id"]}
    times = [client.get("/api/moment", params={**query, "time_s": at}).json() for at in (1, 3, 5)]
    assert {one["how"] for one in times} == {"notes"}
    assert times[0]["time_s"] < times[1]["time_s"] < times[2]["time_s"]
    unrelated = next(one for one in tracks if one["work_id"] != first["work_id"])
    found = client.get(
        "/api/moment", params={"query": first["track_id"], "hit": unrelated["track_id"]}
    ).json()
    assert found["how"] == "passage"


def test_chroma_map_recovers_a_known_tempo_ratio():
    rng = np.random.default_rng(0)
    chords = rng.random((12, 30)).astype(np.float32) ** 4
    slow, fast = np.repeat(chords, 8, axis=1), np.repeat(chords, 5, axis=1)
    mapped = chroma_map(slow, fast)
    for time_s in (8.0, 20.0, 40.0):
        there, confidence = mapped(time_s)
        assert there == pytest.approx(time_s * 5 / 8, abs=0.8)
        assert confidence > 0.95


def test_peaks_show_the_loud_part(tmp_path):
    wave = np.zeros(8_000 * 10, dtype=np.float32)
    wave[40_000:48_000] = 0.5
    sf.write(tmp_path / "a.wav", wave, 8_000)
    found, duration_s = peaks(tmp_path / "a.wav", 100)
    assert duration_s == 10
    assert len(found) == 100
    assert max(found[:48]) < 0.01
    assert min(found[51:59]) == pytest.approx(0.5, abs=0.02)


def test_pca_map_preserves_distances_in_a_plane():
    plane = np.random.default_rng(0).standard_normal((12, 2)) * [5, 2]
    basis = np.linalg.qr(np.random.default_rng(1).standard_normal((40, 2)))[0]
    positions, how = project(plane @ basis.T)
    assert how == "PCA, 100 % of the variance"
    distances = np.linalg.norm(plane[:, None] - plane, axis=2)
    shown = np.linalg.norm(positions[:, None] - positions, axis=2)
    np.testing.assert_allclose(shown / shown.max(), distances / distances.max(), atol=1e-9)
    assert project(np.ones((1, 4)))[0].tolist() == [[0.0, 0.0]]


def test_the_map_places_tracks_by_their_playing_where_probes_do(built):
    library = Library.open(built.root)
    for name, one in library.aspects.items():
        library.aspects[name] = replace(one, confidence="none")
    assert library_map(library, "playing")["by"] == "sound"
    library.aspects["rubato"] = replace(library.aspects["rubato"], confidence="low")
    found = library_map(library, "playing")
    assert found["by"] == "playing"
    assert [point["track_id"] for point in found["points"]] == library.track_ids
    shown = np.array([[point["x"], point["y"]] for point in found["points"]])
    placed = library.positions(["rubato"])
    assert placed.shape == (12, 2)
    apart, there = (np.linalg.norm(one[:, None] - one, axis=2).ravel() for one in (shown, placed))
    assert np.corrcoef(apart, there)[0, 1] > 0.999  # two numbers fill a plane
    client = TestClient(create_app(built.root), base_url="http://127.0.0.1")
    assert client.get("/api/map", params={"by": "colour"}).status_code == 422


def test_similarities_to_a_query_are_those_of_the_library(client, built, tracks):
    library, query = Library.open(built.layout.root), tracks[0]["track_id"]
    name = next(one.name for one in library.aspects.values() if one.available)
    found = client.get("/api/similarities", params={"track": query, "aspect": name}).json()
    expected = library.similarities(query, [name])[name]
    assert found["track_ids"] == library.track_ids
    np.testing.assert_allclose(found["values"], expected, atol=1e-4)
    unknown = client.get("/api/similarities", params={"track": query, "aspect": "sunshine"})
    assert unknown.status_code == 422
    assert "no aspect 'sunshine'" in unknown.json()["problem"]


def test_the_library_is_opened_once_when_the_server_starts(built, monkeypatch):

    opened, real = threading.Event(), Library.open
    roots = []

    def counted(root, **options):
        roots.append(root)
        opened.set()
        return real(root, **options)

    monkeypatch.setattr(Library, "open", counted)
    with TestClient(create_app(built.root), base_url="http://127.0.0.1") as client:
        assert opened.wait(20)  # nothing has been asked for
        assert client.get("/api/library").json()["state"] == "ready"
    assert roots == [built.root]


def test_the_server_starts_where_there_is_no_library_yet(tmp_path):
    with TestClient(create_app(tmp_path), base_url="http://127.0.0.1") as client:
        assert client.get("/api/library").json()["state"] == "empty"


def test_a_new_version_is_served_without_a_restart(workbench):
    client = TestClient(create_app(workbench.root), base_url="http://127.0.0.1")
    before = client.get("/api/library").json()
    assert before["state"] == "ready"
    (workbench.layout.indices / "track" / "latest").write_text("gone")
    assert client.get("/api/library").json()["state"] == "empty"


def test_a_head_ranks_tracks_and_uploaded_recordings(workbench, corpus):
    save_layer_head(workbench.layout, 3, "third")
    client = TestClient(create_app(workbench.root), base_url="http://127.0.0.1")
    found = client.get("/api/library").json()
    assert [(one["name"], one["available"]) for one in found["heads"]] == [("third", True)]
    track = found["tracks"][0]["track_id"]
    hits = client.get("/api/similar", params={"track": track, "head": "third"}).json()["hits"]
    expected = Library.open(workbench.root).similar(track, head="third", k=20)
    assert [one["track_id"] for one in hits] == expected["track_id"].tolist()
    assert expected.attrs["notes"][0].endswith("on works left out: not compared yet")
    content = (corpus / f"{track}.flac").read_bytes()
    uploaded = client.post(
        "/api/query", params={"name": "a.flac", "head": "third"}, content=content
    )
    assert uploaded.json()["hits"][0]["track_id"] == track
    for name, message in (("fourth", "there is no head"), ("../third", "cannot be a head's name")):
        answer = client.get("/api/similar", params={"track": track, "head": name})
        assert answer.status_code == 422
        assert message in answer.json()["problem"]


def test_the_leaderboard_is_served_once_there_is_one(workbench):
    served = TestClient(create_app(workbench.root), base_url="http://127.0.0.1")
    missing = served.get("/leaderboard.html")
    assert missing.status_code == 404
    assert "mess evaluate" in missing.text
    markdown = "# Leaderboard\n\n| system | mean |\n| --- | --- |\n| <b>random</b> | 0.5 |\n"
    folder = Library.open(workbench.root).layout.leaderboard
    folder.mkdir(parents=True)
    (folder / "leaderboard.html").write_text(leaderboard_html(markdown, b"png"), encoding="utf-8")
    page = served.get("/leaderboard.html")
    assert page.status_code == 200
    assert "<td>&lt;b&gt;random&lt;/b&gt;</td>" in page.text
    assert "<script" not in page.text
