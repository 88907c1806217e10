"""Publishing and fetching with folders and an S3 server, and recovery from failed uploads."""

import json
import shutil

import pandas as pd
import pytest
from upath import UPath

from mess_core.errors import StoreError
from mess_core.search import Library
from mess_core.search.publishing import fetch, publish, served_root, version_of
from mess_core.store.versions import hash_copy


@pytest.fixture(scope="module")
def published(built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "mess"
    return folder, publish(built.root, folder)


def _assert_equal_results(one, other):
    first = str(one.tracks["track_id"].iloc[0])
    for query in (
        lambda library: library.similar(first, {"tempo": 0.5, "rubato": -0.3}),
        lambda library: library.passages(first, 2.0),
        lambda library: library.explain(first, str(one.tracks["track_id"].iloc[1])),
    ):
        pd.testing.assert_frame_equal(query(one), query(other))


def test_a_published_library_gives_the_same_results(built, published):
    folder, manifest = published
    opened = Library.open(folder)
    _assert_equal_results(Library.open(built.root), opened)
    assert opened.tracks[["audio_path", "midi_path"]].isna().all(axis=None)
    assert len(opened.tracks) == manifest["tracks"]


def test_fetching_twice_creates_one_version(built, published, tmp_path):
    folder, manifest = published
    assert fetch(folder, tmp_path / "got") == manifest
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "got/versions").rglob("*.*")}
    fetch(folder, tmp_path / "got")
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    _assert_equal_results(Library.open(built.root), Library.open(tmp_path / "got"))


@pytest.fixture(scope="module")
def bucket():
    moto = pytest.importorskip("moto.server", reason="needs moto[server] (dev extra)")
    pytest.importorskip("s3fs", reason="needs s3fs (extra s3)")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "key": "a",
        "secret": "b",
        "client_kwargs": {"endpoint_url": f"http://{host}:{port}"},
    }
    folder = UPath("s3://library", **options)
    folder.fs.mkdir("library")
    yield folder
    server.stop()


def test_publishing_to_an_s3_server_and_fetching(built, bucket, tmp_path):
    manifest = publish(built.root, bucket / "mess")
    _assert_equal_results(Library.open(built.root), Library.open(bucket / "mess"))
    assert fetch(bucket / "mess", tmp_path / "got") == manifest
    _assert_equal_results(Library.open(built.root), Library.open(tmp_path / "got"))


def test_damaged_objects_are_never_served_and_are_repaired(built, bucket, tmp_path):
    manifest = publish(built.root, bucket / "damaged")
    track = str(Library.open(built.root).tracks["track_id"].iloc[0])
    folder = bucket / "damaged" / "versions" / manifest["version"]
    index = next(file for file in manifest["sha256"] if file.endswith("index.faiss"))
    for file in ("probing/untrained-tiny/aspects.json", index):
        whole = (folder / file).read_bytes()
        (folder / file).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(StoreError, match="checksum"):
            fetch(bucket / "damaged", tmp_path / "got")
        with pytest.raises(StoreError, match="checksum"):
            Library.open(bucket / "damaged").passages(track, 0.0)
        assert not (tmp_path / "got" / "latest").exists()
        publish(built.root, bucket / "damaged")
        assert (folder / file).read_bytes() == whole


def test_an_interrupted_upload_leaves_the_old_version(built, bucket, monkeypatch):
    import mess_core.search.publishing as module

    first = publish(built.root, bucket / "stopped")
    monkeypatch.setattr(module, "version_of", lambda sums: "another")

    def interrupted(source, target):
        if "aspects.json" in target.name:
            raise KeyboardInterrupt
        return hash_copy(source, target)

    monkeypatch.setattr(module, "hash_copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish(built.root, bucket / "stopped")
    monkeypatch.undo()
    assert str(served_root(bucket / "stopped")).endswith(first["version"])
    Library.open(bucket / "stopped")


def test_manifests_with_paths_outside_the_folder_are_refused(published, tmp_path):
    folder, manifest = published
    shutil.copytree(folder, tmp_path / "evil")
    path = tmp_path / "evil" / "versions" / manifest["version"] / "manifest.json"
    record = json.loads(path.read_text())
    record["sha256"]["../../../escaped"] = "0" * 64
    path.write_text(json.dumps(record))
    with pytest.raises(StoreError, match="outside its folder"):
        fetch(tmp_path / "evil", tmp_path / "got")
    record["version"] = version_of(record["sha256"])
    path.parent.rename(path.parent.parent / record["version"])
    (path.parent.parent / record["version"] / "manifest.json").write_text(json.dumps(record))
    (tmp_path / "evil" / "latest").write_text(record["version"])
    with pytest.raises(StoreError, match="outside its folder"):
        fetch(tmp_path / "evil", tmp_path / "got")
    (tmp_path / "evil" / "latest").write_text("../up")
    with pytest.raises(StoreError, match="does not name a version"):
        Library.open(tmp_path / "evil")


def test_invalid_sources_and_destinations_raise_clear_errors(built, tmp_path):
    with pytest.raises(StoreError, match="holds no published library"):
        fetch(tmp_path, tmp_path / "got")
    with pytest.raises(StoreError, match="is a data root"):
        publish(built.root, built.root)
    with pytest.raises(StoreError, match="there is no track index"):
        publish(tmp_path, tmp_path / "got")


def test_indices_of_other_embeddings_are_not_published(workbench, tmp_path):
    path = workbench.layout.probing / "aspects.json"
    record = json.loads(path.read_text())
    record["made_from"]["matrix_sha256"] = "another"
    path.write_text(json.dumps(record))
    with pytest.raises(StoreError, match="different embeddings"):
        publish(workbench.root, tmp_path / "got")
