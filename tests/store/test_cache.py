"""A cached table is returned for the fingerprint that it was saved with, and no other."""

import pandas as pd
import pytest

from mess_core.errors import StoreError
from mess_core.paths import locate
from mess_core.store.cache import CachedTable, fingerprint
from mess_core.store.tables import read_table, write_table


@pytest.fixture
def cached(tmp_path):
    return CachedTable(locate(tmp_path) / "scores")


TABLE = pd.DataFrame({"system": ["a", "b"], "value": [0.5, 1.0]})


def test_only_its_own_fingerprint_opens_it(cached):
    assert cached.load("x") is None
    pd.testing.assert_frame_equal(cached.save("x", TABLE, library="l"), TABLE)
    pd.testing.assert_frame_equal(cached.load("x"), TABLE)
    assert cached.load("y") is None
    assert cached.record()["library"] == "l"
    cached.drop()
    assert cached.load("x") is None
    with pytest.raises(StoreError, match="does not exist"):
        cached.table()


def test_an_interrupted_save_is_no_result(cached, monkeypatch):
    cached.save("x", TABLE)
    monkeypatch.setattr(
        "mess_core.store.cache.write_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        cached.save("y", TABLE)
    assert cached.load("x") is None
    assert cached.load("y") is None


def test_fingerprints_differ_where_anything_differs():
    same = {fingerprint("a", {"b": 1, "c": [2]}), fingerprint("a", {"c": [2], "b": 1})}
    assert len(same) == 1
    others = {
        fingerprint("a"),
        fingerprint("a", None),
        fingerprint("a", "None"),
        fingerprint(["a"]),
    }
    assert len(others | same) == 5


@pytest.mark.parametrize(
    ("name", "former"),
    [
        ("single_factor_triplets.parquet", "planted_triplets.parquet"),
        ("models.parquet", "rungs.parquet"),
        ("listeners.parquet", "judged.parquet"),
    ],
)
def test_a_file_of_an_earlier_version_is_named_with_the_remedy(tmp_path, name, former):
    write_table(locate(tmp_path) / former, TABLE)
    with pytest.raises(StoreError, match=rf"called it {former}.* `mess evaluate` again"):
        read_table(locate(tmp_path) / name)
