"""Home folders are expanded; changes that others make in an object store are visible at once."""

import pytest

from mess_core.datasets import parse_sources, read_tracks
from mess_core.datasets.demo import Expression, demo_score, perform, write_demo_corpus, write_midi
from mess_core.midi import read_performance
from mess_core.paths import locate
from mess_core.store import Layout


def test_listings_are_not_cached(monkeypatch):
    moto = pytest.importorskip("moto.server", reason="needs moto[server] (dev extra)")
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs (extra s3)")
    from mess_core.errors import AudioError
    from mess_core.store import Layout
    from mess_core.store.failures import failures_table, record_failure

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():
            monkeypatch.setenv(name, value)
        other = s3fs.S3FileSystem(skip_instance_cache=True)
        other.mkdir("shared")
        layout = Layout("s3://shared/mess")
        record_failure(layout, "embeddings", "d", "first", AudioError("is empty"), cause={})
        assert failures_table(layout)["track_id"].tolist() == ["first"]
        # Another process adds one, and clears the other.
        first = "shared/mess/failures/embeddings/first.json"
        other.pipe(first.replace("first", "second"), other.cat(first).replace(b"first", b"second"))
        assert failures_table(layout)["track_id"].tolist() == ["first", "second"]
        other.rm(first)
        assert failures_table(layout)["track_id"].tolist() == ["second"]
    finally:
        server.stop()


def test_paths_in_the_home_folder_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_demo_corpus(tmp_path / "takes", works=1, players=2, bars=1)
    tracks, _, _ = read_tracks(parse_sources("takes=~/takes"))
    assert tracks["audio_path"].str.startswith(str(tmp_path)).all()
    assert str(Layout("~/library").tracks).startswith(str(tmp_path))
    assert str(locate("~")) == str(tmp_path)
    assert str(locate("~backup/a.wav")) == "~backup/a.wav"


def test_two_colons_in_a_name_are_part_of_it(tmp_path):
    folder = tmp_path / "live::2018"
    folder.mkdir()
    write_midi(perform(demo_score(0, bars=2), Expression(), seed=0), folder / "take::1.mid")
    tracks, _, _ = read_tracks(parse_sources(f"takes={folder}"))
    assert tracks["track_id"].tolist() == ["take::1"]
    assert len(read_performance(tracks["midi_path"][0])) > 10
