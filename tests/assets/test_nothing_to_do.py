"""A second run on an unchanged library builds nothing and says so; a new track builds again."""

import shutil


def test_an_unchanged_library_is_not_built_again(fresh, corpus):
    assert fresh.refresh().success
    manifest = fresh.layout.indices / "track" / "latest"
    before = manifest.stat().st_mtime_ns
    fresh.lines.clear()
    again = fresh.refresh()
    assert again.success
    assert [name for name, _, _ in again.runs] == ["scan the data sets"]
    assert sum("nothing to do" in line for line in fresh.lines) == 2
    assert manifest.stat().st_mtime_ns == before
    one = sorted((fresh.datasets / "demo").glob("demo_01_steady.*"))
    for path in one:
        shutil.copy(path, path.with_name(path.name.replace("demo_01_steady", "demo_01_new")))
    fresh.lines.clear()
    assert fresh.refresh().success
    assert not any("made from the same" in line for line in fresh.lines)
    assert manifest.stat().st_mtime_ns != before
