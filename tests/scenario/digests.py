"""Byte-by-byte comparison of the libraries that two engines have built.

``python -m tests.scenario.digests A B`` compares the results of two scenarios. It excludes files
that contain paths or times: the track table, failures, versions of indices.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from mess_core.store import Layout

FILE = "digests.json"
_RESULTS = (
    "embeddings/*-emb/*/*",
    "embeddings/matrix*",
    "proxy_targets/*.parquet",
    "proxy_targets/*/*.json",
    "proxy_targets/*/*/*.parquet",
    "probing/*.parquet",
    "probing/*.json",
    "probing/*.npy",
    "probing/*.png",
    "probing/segments/*.parquet",
)


def digests(layout: Layout) -> dict[str, str]:
    """Return the SHA-256 of every result of a library, by its path relative to the root."""
    found = {}
    root = str(layout.root)
    for pattern in _RESULTS:
        for path in layout.root.glob(pattern):
            if path.is_file() and not path.name.startswith("previous_"):
                found[str(path).removeprefix(root).lstrip("/")] = _sha256(path)
    for kind in ("track", "passage"):
        folder = layout.indices / kind
        version = folder / (folder / "latest").read_text().strip()
        for path in version.iterdir():
            # The manifest contains the time; the files whose checksums it lists are compared.
            if path.name != "manifest.json":
                found[f"indices/{kind}/{path.name}"] = _sha256(path)
    return dict(sorted(found.items()))


def _sha256(path: Any) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the paths that only one library has, or whose files differ."""
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def main() -> None:
    one, other = (json.loads((Path(folder) / FILE).read_text()) for folder in sys.argv[1:3])
    differ = differing(one, other)
    print(f"{len(one)} files and {len(other)}: {len(differ)} differ")
    for path in differ[:50]:
        print(f"  {path}")
    raise SystemExit(bool(differ))


if __name__ == "__main__":
    main()
