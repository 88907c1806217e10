"""What is stored of each encoder, its removal, and the move of stores without such folders."""

import shutil
from pathlib import Path

import pytest

from mess_core.encoders.chosen import choose_encoder, move_old_store
from mess_core.encoders.embedding import EncoderSettings
from mess_core.encoders.families import SETTINGS
from mess_core.encoders.registry import UNTRAINED, find_encoder
from mess_core.encoders.untrained import SIZES
from mess_core.errors import EncoderError, StoreError
from mess_core.search import Library
from mess_core.store.layout import Layout
from mess_core.store.stored_encoders import (
    encoders_table,
    indexed_encoders,
    remove_encoder,
    stored_encoders,
)

KINDS = ("embeddings", "probing", "indices", "heads", "evaluation", "control/embeddings")


def flattened(layout):
    """Make the store look as earlier versions left it: one encoder, without a folder of its own."""
    for kind in KINDS:
        own = Path(str(layout.root)) / kind / layout.encoder
        if own.exists():
            for one in own.iterdir():
                if one.name != "encoder.json":
                    one.rename(own.parent / one.name)
            shutil.rmtree(own)
    return Layout(layout.root)


def contents(layout):
    root = Path(str(layout.root))
    return {
        str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()
    }


def test_an_old_store_is_moved_once_and_says_so(workbench, caplog):
    before = contents(workbench.layout)
    layout = flattened(workbench.layout)
    assert contents(layout) != before
    assert move_old_store(layout) == "untrained-tiny"
    assert "moved the results of untrained:tiny@" in caplog.text
    assert contents(layout) == before
    assert move_old_store(layout) is None
    assert contents(layout) == before
    assert workbench.refresh(rebuild=False).pending == 0


def test_an_interrupted_move_is_continued(workbench, monkeypatch):
    before = contents(workbench.layout)
    layout = flattened(workbench.layout)
    real, moved = Path.rename, []

    def stopped(self, target):
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(target)
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stopped)
        with pytest.raises(KeyboardInterrupt):
            move_old_store(layout)
    library = Library.open(workbench.root)  # moves the rest
    assert library.layout.encoder == "untrained-tiny"
    assert contents(layout) == before


def test_removing_an_encoder_leaves_the_others_and_what_is_shared(workbench):
    layout = workbench.layout
    root = Path(str(layout.root))
    for kind in KINDS:
        if (root / kind / "untrained-tiny").exists():
            shutil.copytree(root / kind / "untrained-tiny", root / kind / "other")
    table = encoders_table(layout).set_index("encoder")
    assert table["tracks"].to_dict() == {"other": 12, "untrained-tiny": 12}
    assert table["indexed"].all()
    assert table["probed"].all()
    assert (table["bytes"] > 10_000).all()
    before = contents(layout)
    assert remove_encoder(layout, "other") == table.at["other", "bytes"]
    after = contents(layout)
    assert stored_encoders(layout) == indexed_encoders(layout) == ["untrained-tiny"]
    assert set(before) - set(after) == {one for one in before if "/other/" in one}
    with pytest.raises(StoreError, match="nothing of an encoder 'other'"):
        remove_encoder(layout, "other")


def test_one_rule_says_which_encoder_is_used(workbench, monkeypatch):
    """The named one, or the configured one if it is there, or the only one."""
    layout = Layout(workbench.root)
    assert choose_encoder(layout).encoder == "untrained-tiny"
    assert choose_encoder(layout, "untrained:tiny").encoder == "untrained-tiny"
    monkeypatch.setenv("MESS_ENCODER", "mess-piano")
    assert choose_encoder(layout).encoder == "untrained-tiny"
    with pytest.raises(StoreError, match="mess run --encoder mess-piano"):
        choose_encoder(layout, "mess-piano")
    indices = Path(str(layout.root)) / "indices"
    shutil.copytree(indices / "untrained-tiny", indices / "other")
    with pytest.raises(StoreError, match="several encoders are stored") as error:
        choose_encoder(layout)
    assert "other, untrained-tiny" in str(error.value)
    shutil.copytree(indices / "untrained-tiny", indices / "mess-piano")
    assert choose_encoder(layout).encoder == "mess-piano"


def test_folders_of_equal_name_and_other_weights_have_other_folder_names(tmp_path):
    for parent, content in (("a", b"one"), ("b", b"two")):
        folder = tmp_path / parent / "mine"
        folder.mkdir(parents=True)
        (folder / "mess-piano.safetensors").write_bytes(content)
    first, second = (find_encoder(tmp_path / one / "mine").folder() for one in "ab")
    assert first != second
    assert first.startswith("mine-")
    shutil.move(tmp_path / "a", tmp_path / "moved")
    assert find_encoder(tmp_path / "moved" / "mine").folder() == first


def test_a_version_published_without_folders_is_refused_and_not_changed(workbench):
    layout = flattened(workbench.layout)
    (Path(str(layout.root)) / "manifest.json").write_text("{}")
    before = contents(layout)
    with pytest.raises(StoreError, match="earlier version of MESS") as error:
        choose_encoder(layout)
    assert "Publish the library again" in str(error.value)
    assert contents(layout) == before


def test_a_folder_without_its_files_is_one_clear_error(tmp_path):
    folder = tmp_path / "half"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(EncoderError, match="cannot be read") as error:
        find_encoder(folder).folder()
    assert str(folder) in str(error.value)


def test_names_and_defaults_are_those_of_the_encoders():
    """The registry repeats them, since it must not import PyTorch."""
    defaults = EncoderSettings()
    assert {name: getattr(defaults, name) for name in SETTINGS} == SETTINGS
    assert set(SIZES) < set(UNTRAINED)
