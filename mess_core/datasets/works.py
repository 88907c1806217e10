"""Work identity: which recordings are of the same composition.

`work_id` reads composer and catalogue number out of a title as data sets write it. It
is coarse on purpose where being fine would leak: movements of a sonata, and a prelude
and its fugue, are one work, since a file may hold one of them or all. Where a title
names no catalogue number, its words without movement, key and ornament decide.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["composer_key", "work_id"]

_COMPOSER_SPELLINGS = {
    "rachmaninov": "rachmaninoff",
    "skryabin": "scriabin",
    "skriabin": "scriabin",
    "tschaikowsky": "tchaikovsky",
    "haendel": "handel",
    "mussorgskij": "mussorgsky",
}
_BACH_SONS = {"christian", "emanuel", "friedemann", "christoph"}

# Catalogues that number works of one composer; each group is the number.
_CATALOGUES = (
    ("bwv", re.compile(r"\bbwv[ _.]*(\d+[a-z]?)")),
    ("hob", re.compile(r"\bhob[ _.]*(xvi|xvii|17|16)[ _.:n]*o?[ _.:]*(\d+)")),
    ("woo", re.compile(r"\bwoo[ _.]*(\d+)")),
    ("d", re.compile(r"\bd[ _.]*(\d{3})\b")),
    ("k", re.compile(r"\bkv?[ _.]*(\d+)\b")),
    ("s", re.compile(r"\bs[ _.]*(\d{2,3})(?:\s*[/,]\s*(?:no\.?\s*)?(\d+))?")),
    ("sz", re.compile(r"\bsz[ _.]*(\d+)")),
)
_OPUS = re.compile(
    r"\bop(?:us|\.)?[ _.]*(\d+)[a-z]?"
    r"(?:\s*/\s*(\d+)|[ ,]*no[s]?\.?[ _]*(\d+)(?!\s*(?:-|to|and|&|,\s*\d)))?"
)
# Schubert's opus 90 (D. 899) is named by either number.
_SYNONYMS = {"schubert:d899": "schubert:op90", "schubert:op120": "schubert:d664"}
_NOISE = re.compile(
    r"\b(?:in|major|minor|maj|min|flat|sharp|complete|the|of|from|de|la|le|selections?|"
    r"first|second|third|fourth|1st|2nd|3rd|4th|mov|movements?|mvt|and|no|book|"
    r"[a-h](?:b|#)?|i{1,3}|iv|vi{0,3}|allegro|adagio|andante|presto|largo|moderato|maestoso|"
    r"con|brio|molto|vivace)\b"
)


def composer_key(composer: str) -> str:
    """Surname in lower-case ASCII, one spelling per person; "" if unknown.

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
    """Identifier that recordings of one composition share.

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
    >>> work_id("Frédéric Chopin", "Etude in A Minor, Op. 25, No. 11")
    'chopin:op25-11'
    >>> work_id("Johann Sebastian Bach", "Prelude and Fugue in A Minor, WTC II,  BWV 889")
    'bach:bwv889'
    """
    key = composer_key(composer)
    text = _ascii(title)
    if found := _OPUS.search(text):
        number = found[2] or found[3]
        name = f"op{int(found[1])}" + (f"-{int(number)}" if number else "")
        return _synonym(f"{key}:{name}")
    for catalogue, pattern in _CATALOGUES:
        if found := pattern.search(text):
            parts = [part for part in found.groups() if part]
            if catalogue == "hob":
                parts = [{"17": "xvii", "16": "xvi"}.get(parts[0], parts[0]), parts[1]]
            name = catalogue + "-".join(part.lstrip("0") for part in parts)
            return _synonym(f"{key}:{name}")
    words = re.findall(r"[a-z0-9]+", _NOISE.sub(" ", text)) or re.findall(r"[a-z0-9]+", text)
    return f"{key}:{'-'.join(words) or 'untitled'}"


def _synonym(name: str) -> str:
    base, dash, number = name.partition("-")
    return _SYNONYMS.get(base, base) + dash + number


def _ascii(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text)
    return "".join(char for char in folded if not unicodedata.combining(char)).lower()
