"""Work identity: which recordings are of the same composition.

`work_id` extracts composer and catalogue number from a title as data sets write it. It is
deliberately coarse where a finer identity could leak between folds: the movements of a sonata,
or a prelude and its fugue, are one work, since a file may contain one of them or all. Pieces
known by a number, a key or a nickname are looked up in `catalogue`. If nothing else is known,
the words of the title without movement, key and tempo marking are used.

`leak_safe_groups` goes one step further for folds: a recording of a complete opus is in one
group with every recording of one of its pieces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from mess_core.datasets import catalogue

__all__ = ["composer_key", "joined_by", "leak_safe_groups", "work_id"]

_COMPOSER_SPELLINGS = {
    "rachmaninov": "rachmaninoff",
    "skryabin": "scriabin",
    "skriabin": "scriabin",
    "tschaikowsky": "tchaikovsky",
    "haendel": "handel",
    "mussorgskij": "mussorgsky",
}
_BACH_SONS = {"christian", "emanuel", "friedemann", "christoph"}

# Catalogues that number the works of one composer; the groups are the number.
_CATALOGUES = (
    ("bwv", re.compile(r"\bbwv[ .]*(\d+[a-z]?)")),
    ("hob", re.compile(r"\bhob[ .]*(xvii|xvi|17|16)[ .:]*(?:no)?[ .:]*(\d+)")),
    ("woo", re.compile(r"\bwoo[ .]*(\d+)")),
    ("d", re.compile(r"\bd[ .]*(\d{3})\b")),
    ("k", re.compile(r"\bkv?[ .]*(\d+)\b")),
    ("s", re.compile(r"\bs[ .]*(\d{2,3})\b(?:\s*[/, ]\s*(?:no\.?\s*)?(\d+)\b)?")),
    ("sz", re.compile(r"\bsz[ .]*(\d+)")),
)
_MORE_NUMBERS = r"(?!\s*(?:-\s*\d|to\b|and\b|&|,\s*\d+\b(?!\s*(?:st|nd|rd|th))))"
_OPUS = re.compile(
    r"\bop(?:us|\.)?[ .]*(\d+)[a-z]?\b"
    rf"(?:\s*/\s*(\d+)\b|[ ,]*no\.?\s*(\d+)\b{_MORE_NUMBERS}|(?:\s+d\.?\s*\d+)?\s+(\d{{1,2}})$)?"
)
_GENRE = re.compile(r"\b([a-z]+?)s?\b[ ,]*(?:no\.?)?\s*(\d+)\b")
_KEY = re.compile(
    r"\bin\s+(?:in\s+)?([a-g])\s*[- ]?(flat|sharp|b|#)?\s*[- ]?(major|minor|maj|min|moll|m)?\b"
)
_BOOK = re.compile(r"\b(?:wtc|wtk|book)\s*(ii|i|2|1)\b")
# Works of Schubert that have both an opus and a Deutsch number.
_SYNONYMS = {
    "schubert:d899": "schubert:op90",
    "schubert:d935": "schubert:op142",
    "schubert:op120": "schubert:d664",
}
_NOISE = re.compile(
    r"\b(?:in|major|minor|maj|min|flat|sharp|complete|the|of|from|de|la|le|selections?|"
    r"first|second|third|fourth|1st|2nd|3rd|4th|mov|movements?|mvt|and|no|book|"
    r"[a-h](?:b|#)?|i{1,3}|iv|vi{0,3}|allegro|adagio|andante|presto|largo|moderato|maestoso|"
    r"con|brio|molto|vivace)\b"
)


def composer_key(composer: str) -> str:
    """Return the surname in lower-case ASCII, one spelling per person; "" if unknown.

    Examples
    --------
    >>> composer_key("Frédéric Chopin"), composer_key("Sergei Rachmaninov")
    ('chopin', 'rachmaninoff')
    >>> composer_key("Johann Sebastian Bach / Ferruccio Busoni")
    'bach'
    """
    names = re.findall(r"[a-z]+", _ascii(composer.split("/")[0]))
    if not names:
        return ""
    surname: str = _COMPOSER_SPELLINGS.get(names[-1], names[-1])
    if surname == "bach" and _BACH_SONS.intersection(names):
        return "-".join([*(name[0] for name in names[:-1]), surname])
    return surname


def work_id(composer: str, title: str) -> str:
    """Return an identifier that all recordings of one composition share.

    Parameters
    ----------
    composer, title : str
        As the data set writes them.

    Returns
    -------
    str
        ``composer:catalogue-number``, or ``composer:words`` without a catalogue number.

    Examples
    --------
    >>> work_id("Ludwig van Beethoven", "Sonata No. 21 in C Major, Op. 53, 1st mov.")
    'beethoven:op53'
    >>> work_id("Beethoven", "Piano_Sonatas_17-1"), work_id("Frédéric Chopin", "Sonata No. 3")
    ('beethoven:op31-2', 'chopin:op58')
    >>> work_id("Johann Sebastian Bach", "Prelude and Fugue in E-flat Major, WTC I")
    'bach:bwv852'
    """
    key = composer_key(composer)
    text = re.sub("[\"'\u2018\u2019\u201c\u201d]", "", _ascii(title)).replace("_", " ")
    for owner, pattern, name in catalogue.NICKNAMES:
        if owner in (key, "") and pattern.search(text):
            return name
    opus = _OPUS.search(text)
    numbered = _numbered(key, text)
    if opus is not None:
        number = next((part for part in opus.groups()[1:] if part), None)
        name = f"op{int(opus[1])}" + (f"-{int(number)}" if number else "")
        # "Sonata No. 7, Op. 10": the number of the sonata identifies the piece of the opus.
        if numbered is not None and numbered.split("-")[0] == name.split("-")[0]:
            name = numbered
        return _synonym(f"{key}:{catalogue.WHOLE_OPUS.get(f'{key}:{name}', name)}")
    if (by_key := _by_key(key, text)) is not None:
        return by_key
    for kind, pattern in _CATALOGUES:
        if found := pattern.search(text):
            parts = [part for part in found.groups() if part]
            if kind == "hob":
                parts = [{"17": "xvii", "16": "xvi"}.get(parts[0], parts[0]), parts[1]]
            return _synonym(f"{key}:{kind}" + "-".join(part.lstrip("0") for part in parts))
    if numbered is not None:
        return f"{key}:{numbered}"
    words = re.findall(r"[a-z0-9]+", _NOISE.sub(" ", text)) or re.findall(r"[a-z0-9]+", text)
    return f"{key}:{'-'.join(words) or 'untitled'}"


def leak_safe_groups(
    work_ids: Sequence[str],
    audio: Sequence[str | None] | None = None,
    music: Sequence[str | None] | None = None,
) -> list[str]:
    """Return groups for folds, in which the pieces of an opus join its complete recordings.

    Parameters
    ----------
    work_ids : sequence of str
    audio : sequence of str or None, optional
        Hashes of the recordings. Works that share a recording are one group, since a file
        that is duplicated under two names would otherwise be on both sides of a fold.
    music : sequence of str or None, optional
        Music by notes, as returned by `mess_core.datasets.shared_music.music_groups`: tracks
        that share music are one group, whatever they are called.

    Returns
    -------
    list of str
        Name of each recording's group.

    Examples
    --------
    >>> leak_safe_groups(["chopin:op25", "chopin:op25-11", "chopin:op28-4"])
    ['chopin:op25', 'chopin:op25', 'chopin:op28-4']
    >>> leak_safe_groups(["a", "b", "c"], audio=["f0", "3e", "f0"])
    ['a', 'b', 'a']
    """
    present = set(work_ids)
    groups = []
    for name in work_ids:
        whole = re.sub(r"-\d+$", "", name)
        groups.append(whole if whole in present else name)
    for shared in (audio, music):
        groups = groups if shared is None else joined_by(groups, shared)
    return groups


def joined_by(groups: Sequence[str], shared: Sequence[str | None]) -> list[str]:
    """Merge groups that share something (an audio hash, a title), named after the first one."""
    home = {name: name for name in groups}

    def root(name: str) -> str:
        while home[name] != name:
            name = home[name]
        return name

    first: dict[str, str] = {}
    for name, one in zip(groups, shared, strict=True):
        if one is not None:
            home[root(name)] = root(first.setdefault(one, name))
    return [root(name) for name in groups]


def _numbered(key: str, text: str) -> str | None:
    """Return the opus of "Sonata No. 7", "Ballades_4" and the like, or None if unknown."""
    for genre, number in _GENRE.findall(text):
        table = catalogue.NUMBERED.get((key, genre))
        if table is None:
            continue
        if int(number) in table:
            return table[int(number)]
        if f"op{number}" in table.values():  # ASAP writes the opus there: "Scherzos_31"
            return f"op{number}"
    return None


def _by_key(key: str, text: str) -> str | None:
    """Return the work that composer, genre and key identify, or None.

    This applies to the Well-Tempered Clavier and to Schubert's sonatas. In the MAESTRO metadata,
    the Deutsch numbers of one sonata increase from row to row (D. 894, 895, 896, 897 are all the
    G major sonata), so the key is right and the number is not. Likewise "C Major, WTC II, BWV 846"
    is BWV 870, as the notes of ASAP's copy show.
    """
    found = _KEY.search(text)
    if found is None:
        return None
    tonic = found[1] + {"flat": "b", "b": "b", "sharp": "#", "#": "#", None: ""}[found[2]]
    minor = found[3] in {"minor", "min", "moll", "m"}
    if key == "schubert" and re.search(r"\bson(?:ata|\.)", text):
        number = catalogue.SCHUBERT_SONATAS_BY_KEY.get((tonic, minor))
        return None if number is None else f"schubert:{number}"
    book = _BOOK.search(text)
    if key == "bach" and book is not None and "prelude" in text:
        position = catalogue.WTC_ORDER.get((tonic, minor))
        if position is not None:
            first = 846 if book[1] in {"i", "1"} else 870
            return f"bach:bwv{first + position}"
    return None


def _synonym(name: str) -> str:
    base, dash, number = name.partition("-")
    return _SYNONYMS.get(base, base) + dash + number


def _ascii(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text)
    return "".join(char for char in folded if not unicodedata.combining(char)).lower()
