"""Versions are complete or not there, and a reader never leaves their folder."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mess_core.errors import StoreError
from mess_core.paths import locate
from mess_core.store.versions import Versions


@pytest.fixture
def versions(tmp_path):
    root = locate(tmp_path)
    return Versions(root / "things", root / "things" / "latest", "Make it again")


def _writers(**contents):
    return {
        name.replace("_", "."): lambda path, content=content: path.write_bytes(content)
        for name, content in contents.items()
    }


def test_what_was_written_is_served_with_its_checksums(versions):
    assert versions.latest() is None
    manifest = versions.write("abc1", _writers(a_bin=b"one", b_bin=b"two"), {"about": 7})
    assert versions.latest() == "abc1"
    assert versions.verify("abc1") == manifest
    assert manifest["about"] == 7
    assert set(manifest["sha256"]) == {"a.bin", "b.bin"}
    versions.write("abc2", _writers(a_bin=b"three"), {})
    assert versions.latest() == "abc2"
    assert versions.verify("abc1") == manifest
    versions.withdraw()
    assert versions.latest() is None


def test_an_intact_version_is_not_written_again_and_a_damaged_one_is(versions):
    written = []

    def write(path):
        written.append(path)
        path.write_bytes(b"content")

    versions.write("v1", {"a.bin": write}, {})
    versions.write("v1", {"a.bin": write}, {})
    assert len(written) == 1
    (versions.folder / "v1" / "a.bin").write_bytes(b"damaged")
    with pytest.raises(StoreError, match=r"a\.bin: .*checksum.* Make it again"):
        versions.verify("v1")
    assert versions.verify("v1", without=["a.bin"])["version"] == "v1"
    versions.write("v1", {"a.bin": write}, {})
    assert len(written) == 2
    versions.verify("v1")


def test_a_writer_that_fails_leaves_the_served_version(versions):
    versions.write("v1", _writers(a_bin=b"one"), {})

    def fails(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        versions.write("v2", {**_writers(a_bin=b"one"), "b.bin": fails}, {})
    assert versions.latest() == "v1"
    with pytest.raises(StoreError):
        versions.verify("v2")
    assert [one.name for one in (versions.folder / "v2").iterdir()] == ["a.bin"]


def test_manifests_of_other_formats_and_names_are_refused(versions):
    manifest = versions.write("v1", _writers(a_bin=b"one"), {})
    path = versions.folder / "v1" / "manifest.json"
    for changed, says in (
        ({"sha256": "one hash for all"}, "another version of MESS"),
        ({"format": 99}, "another version of MESS"),
        ({"version": "v9"}, "not the manifest of its version"),
    ):
        path.write_text(json.dumps({**manifest, **changed}))
        with pytest.raises(StoreError, match=says):
            versions.verify("v1")


@given(
    name=st.one_of(
        st.sampled_from(
            ["../a", "/etc/passwd", "a//b", "..", "a/../../b", "C:\\a", "s3://x/y", ""]
        ),
        st.text(max_size=12).map(lambda text: f"{text}/../../{text}"),
    )
)
def test_no_file_name_leads_outside(tmp_path_factory, name):
    root = locate(tmp_path_factory.mktemp("versions"))
    versions = Versions(root, root / "latest", "")
    manifest = versions.write("v1", _writers(a_bin=b"one"), {})
    record = {**manifest, "sha256": {name: "0" * 64}}
    (root / "v1" / "manifest.json").write_text(json.dumps(record))
    with pytest.raises(StoreError, match="outside its folder"):
        versions.verify("v1")
