"""Facts about the piano repertoire that titles leave out: numbers, keys, nicknames.

Limited to what the data sets contain; from the composers' standard work catalogues.
"""

from __future__ import annotations

import re

__all__ = ["NICKNAMES", "NUMBERED", "SCHUBERT_SONATAS_BY_KEY", "WHOLE_OPUS", "WTC_ORDER"]

_BEETHOVEN_SONATAS = [
    "op2-1", "op2-2", "op2-3", "op7", "op10-1", "op10-2", "op10-3", "op13", "op14-1",
    "op14-2", "op22", "op26", "op27-1", "op27-2", "op28", "op31-1", "op31-2", "op31-3",
    "op49-1", "op49-2", "op53", "op54", "op57", "op78", "op79", "op81", "op90", "op101",
    "op106", "op109", "op110", "op111",
]  # fmt: skip
_SCRIABIN_SONATAS = [
    "op6", "op19", "op23", "op30", "op53", "op62", "op64", "op66", "op68", "op70",
]  # fmt: skip
_MOZART_SONATAS = [
    "k279", "k280", "k281", "k282", "k283", "k284", "k309", "k310", "k311", "k330", "k331",
    "k332", "k333", "k457", "k545", "k570", "k576",
]  # fmt: skip


def _from_one(names: list[str]) -> dict[int, str]:
    return dict(enumerate(names, start=1))


NUMBERED: dict[tuple[str, str], dict[int, str]] = {
    ("beethoven", "sonata"): _from_one(_BEETHOVEN_SONATAS),
    ("chopin", "ballade"): _from_one(["op23", "op38", "op47", "op52"]),
    ("chopin", "scherzo"): _from_one(["op20", "op31", "op39", "op54"]),
    ("chopin", "sonata"): _from_one(["op4", "op35", "op58"]),
    ("scriabin", "sonata"): _from_one(_SCRIABIN_SONATAS),
    ("schumann", "sonata"): _from_one(["op11", "op22", "op14"]),
    ("rachmaninoff", "sonata"): _from_one(["op28", "op36"]),
    ("brahms", "sonata"): _from_one(["op1", "op2", "op5"]),
    ("weber", "sonata"): _from_one(["op24", "op39", "op49", "op70"]),
    ("mozart", "sonata"): _from_one(_MOZART_SONATAS),
    # ASAP names Schubert's sonatas by their Deutsch numbers.
    ("schubert", "sonata"): {number: f"d{number}" for number in range(157, 961)},
    ("haydn", "sonata"): {number: f"hobxvi-{number}" for number in range(1, 53)},
    ("liszt", "rhapsody"): {number: f"s244-{number}" for number in range(1, 20)},
    ("bach", "suite"): {number: f"bwv{805 + number}" for number in range(1, 7)},
    ("bach", "partita"): {number: f"bwv{824 + number}" for number in range(1, 7)},
}
"""(composer, genre) to number to catalogue name. Bach's numbered suites are the English."""

SCHUBERT_SONATAS_BY_KEY: dict[tuple[str, bool], str] = {
    ("c", True): "d958",
    ("bb", False): "d960",
    ("g", False): "d894",
    ("d", False): "d850",
    ("c", False): "d840",
}
"""(tonic, minor) to Deutsch number, for keys in which only one sonata is played."""

_KEYS = [
    "c", "c#", "d", "eb", "e", "f", "f#", "g", "ab", "a", "bb", "b",
]  # fmt: skip
WTC_ORDER: dict[tuple[str, bool], int] = {
    (tonic, minor): 2 * index + int(minor)
    for index, tonic in enumerate(_KEYS)
    for minor in (False, True)
}
WTC_ORDER |= {("d#", True): 7, ("g#", True): 17, ("db", False): 2, ("a#", True): 21}
"""(tonic, minor) to position in a book of the Well-Tempered Clavier, from 0."""

WHOLE_OPUS = {"beethoven:op81-26": "op81", "rachmaninoff:op3": "op3"}
"""Names whose last number is not one of the opus, to the name of the opus."""

NICKNAMES: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (owner, re.compile(pattern), name)
    for owner, pattern, name in (
        ("", r"eroica.*variations|variations.*eroica", "beethoven:op35"),
        ("balakirev", r"islame[iy]", "balakirev:op18"),
        ("bach", r"prelude and fugue in b-?moll.*22.*wt[ck] ?ii", "bach:bwv891"),
        ("chopin", r"barcarolle", "chopin:op60"),
        ("chopin", r"berceuse", "chopin:op57"),
        ("chopin", r"nocturne in db", "chopin:op27-2"),
        ("debussy", r"isle joyeuse", "debussy:l106"),
        ("debussy", r"feux dartifice|fireworks|prelude no\. 24", "debussy:l123-12"),
        ("debussy", r"images.*\b(book ii|2)\b", "debussy:l111"),
        ("debussy", r"images.*\b(book (i|1))\b", "debussy:l110"),
        ("janacek", r"in the mists", "janacek:in-the-mists"),
        ("janacek", r"1\. ?x\. ?1905", "janacek:1-x-1905"),
        ("liszt", r"campanella", "liszt:s141-3"),
        ("liszt", r"gran\w* etudes de paganini 6|paganini etude no\. 6", "liszt:s141-6"),
        ("liszt", r"gnomenreigen", "liszt:s145-2"),
        ("paganini", r"etude no\. 6", "liszt:s141-6"),
        ("liszt", r"un sospiro", "liszt:s144-3"),
        ("liszt", r"leggierezza", "liszt:s144-2"),
        ("liszt", r"\bdante|lecturedante", "liszt:s161-7"),
        ("liszt", r"sonetto 104", "liszt:s161-5"),
        ("liszt", r"sonetto 123", "liszt:s161-6"),
        ("liszt", r"funerailles", "liszt:s173-7"),
        ("liszt", r"rhapsodie espagnole", "liszt:s254"),
        ("liszt", r"rigoletto", "liszt:s434"),
        ("liszt", r"faust", "liszt:s407"),
        ("gounod", r"faust", "liszt:s407"),
        ("liszt", r"tarantella(?! di)", "liszt:s162-3"),
        ("wagner", r"isold", "liszt:s447"),
        ("liszt", r"wei?nen ?klagen|weinenklagen", "liszt:s180"),
        *(
            (
                "liszt",
                rf"(transcendant|transcendental|executiontranscendante).*\b{n}\b",
                f"liszt:s139-{n}",
            )
            for n in range(12, 0, -1)
        ),
        ("prokofiev", r"toccata", "prokofiev:op11"),
        ("rachmaninoff", r"eleg(ie|y)", "rachmaninoff:op3-1"),
        ("rachmaninoff", r"moments? musicaux$", "rachmaninoff:op16"),
        ("ravel", r"ondine", "ravel:gaspard-1"),
        ("schubert", r"wanderer", "schubert:d760"),
        ("schumann", r"symphonic etudes", "schumann:op13"),
        ("bach", r"italian concerto", "bach:bwv971"),
    )
)
"""(composer or "" for any, pattern in the lower-case title, work id)."""
