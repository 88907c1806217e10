"""Work identity: spellings of one work agree, different works differ."""

import pytest

from mess_core.datasets.works import composer_key, work_id

SAME = [
    [
        ("Ludwig van Beethoven", "Sonata No. 21 in C Major, Op. 53, 1st mov."),
        ("Ludwig van Beethoven", 'Sonata No. 21, Op. 53, "Waldstein", I. Allegro con brio'),
        ("Beethoven", "Op. 53"),
    ],
    [
        ("Franz Schubert", "Impromptu Op. 90 No. 3 in G-flat Major, D899"),
        ("Franz Schubert", "Impromptus Op. 90, No. 3"),
    ],
    [
        ("Sergei Rachmaninoff", "Etude-Tableaux Op. 39 No. 6 in A Minor"),
        ("Rachmaninov", "Op. 39 No. 6"),
    ],
    [
        ("Johann Sebastian Bach", "Prelude and Fugue in A Minor, WTC II,  BWV 889"),
        ("Bach", "BWV889"),
    ],
    [
        ("Franz Liszt", 'Transcendental Etude No. 5 "Feux Follets", S. 139/5'),
        ("Franz Liszt", "Transcendental Etude No. 5 “Feux Follets,” S.139, No. 5"),
    ],
    [
        ("Claude Debussy", "L'isle joyeuse"),
        ("Claude Debussy", "L'Isle Joyeuse"),
    ],
    [
        ("Joseph Haydn", "Sonata in D Major, Hob. XVI:24"),
        ("Haydn", "Hob.XVI:24"),
    ],
]


@pytest.mark.parametrize("spellings", SAME, ids=lambda one: one[0][1])
def test_spellings_of_one_work_agree(spellings):
    assert len({work_id(*spelling) for spelling in spellings}) == 1


def test_different_works_differ():
    ids = [work_id(*spellings[0]) for spellings in SAME]
    assert len(set(ids)) == len(ids)
    assert work_id("Chopin", "Etude Op. 25 No. 1") != work_id("Chopin", "Etude Op. 25 No. 10")
    assert work_id("Mozart", "Sonata K. 310") != work_id("Scarlatti", "Sonata K. 310")


def test_bach_and_his_sons_are_different_people():
    assert composer_key("Johann Christian Bach") != composer_key("Johann Sebastian Bach")
    assert composer_key("") == ""
