"""Work identity of 60 titles whose work was determined by hand."""

from itertools import combinations

import pytest

from mess_core.datasets.works import composer_key, leak_safe_groups, work_id

B, C, S, L = "Ludwig van Beethoven", "Frédéric Chopin", "Franz Schubert", "Franz Liszt"
J, R, H = "Johann Sebastian Bach", "Sergei Rachmaninoff", "Joseph Haydn"

# One list per work; titles as MAESTRO, SMD (spelled out) and ASAP write them.
WORKS = [
    [(B, "Sonata No. 21 in C major, Op. 53, “Waldstein,” I. Allegro con brio"),
     (B, "Sonata in C Major, Op. 53 'Waldstein'"), ("Beethoven", "Piano_Sonatas_21-3")],
    [(B, "Sonata No. 17 in D minor, Op. 31 No. 2, 1st mov."),
     (B, 'Sonata in D Minor, Op. 31 No. 2 "Tempest"'), ("Beethoven", "Piano_Sonatas_17-1"),
     ("Beethoven", "Op. 31 No. 2")],
    [(B, "Sonata No. 7 in D Major, Op. 10 No. 3, 1st mov."), (B, "Sonata Op. 10/3"),
     ("Beethoven", "Piano_Sonatas_7-1")],
    [(B, "Sonata Op. 81 No. 26, 'Les Adieux'"), (B, "Sonata in E-flat Major, Op. 81a"),
     ("Beethoven", "Piano_Sonatas_26-2")],
    [(B, "Eroica Variations, Op. 35"),
     (C, 'Variations and Fugue in E-flat Major, Op. 35, "Eroica"')],
    [(C, "Sonata No. 2 in B-flat Minor, Op. 35"), ("Chopin", "Sonata_2_4th")],
    [(C, "Sonata No. 3"), (C, "Sonata 3 Op. 58"), ("Chopin", "Sonata_3_2nd")],
    [(C, "Scherzo No. 2 in B-flat Major, Op. 31"), ("Chopin", "Scherzos_31")],
    [(C, "Scherzo No. 3"), (C, "Scherzo No. 3 in C-sharp Minor, Op. 39")],
    [(C, "Ballade 4 Op. 52"), ("Chopin", "Ballades_4")],
    [(C, "Etude in A Minor, Op. 25, No. 11"), (C, "Etude Op. 25 No. 11"),
     ("Chopin", "Etudes_op_25_11")],
    [(C, "Etude Op. 25 No. 1 in A-flat Major"), ("Chopin", "Etudes_op_25_1")],
    [(C, "Barcarolle in F#"), (C, "Barcarolle, Op. 60"), ("Chopin", "Barcarolle")],
    [(C, "Berceuse Op. 57 in D-flat Major"), ("Chopin", "Berceuse_op_57")],
    [(S, "Sonata in G Major, D. 897"), (S, "Sonata in G Major D894"),
     ("Schubert", "Piano_Sonatas_894-2")],
    [(S, "Sonata in C Minor, D. 961"), (S, "Sonata in C  Minor, D. 959")],
    [(S, "Son. in Bb D.961"), (S, "Sonata in B-flat Major D. 961")],
    [(S, "Impromptus Op. 90, No. 3"), (S, "Impromptu Op. 90 No. 3, in G-flat Major, D899"),
     ("Schubert", "Impromptu_op.90_D.899_3")],
    [(S, "Sonata in A Major, Op. 120, I. Allegro moderato"),
     (S, "Sonata in A Major, D. 664 (Complete)"), ("Schubert", "Piano_Sonatas_664-1")],
    [(S, "Wanderer Fantasy"), (S, 'Fantasia in C Major, "Wanderer", D. 760'),
     ("Schubert", "Wanderer_fantasie")],
    [(L, "Transcendental Etude No. 5 “Feux Follets,” S.139, No. 5"),
     (L, 'Transcendental Etude No. 5 "Feux Follets"'), ("Liszt", "Transcendental_Etudes_5")],
    [(L, '"La Campanella"'), (L, 'Grandes ètudes de Paganini No. 3 "La Campanella", S. 141'),
     ("Liszt", "Gran_Etudes_de_Paganini_2_La_campanella")],
    [(L, 'Concert Etude "Gnomenreigen"'), ("Liszt", "Concert_Etude_S145_2")],
    [(J, "Prelude and Fugue in G Major, WTC I"), ("Bach", "Fugue_bwv_860"),
     ("Bach", "Prelude_bwv_860")],
    [(J, "Prelude and Fugue in D Major, Book II"), ("Bach", "Fugue_bwv_874")],
    [(J, "Prelude from the English Suite No. 6"),
     (J, "Prelude from English Suite No. 6 in D Minor, BWV 811")],
    [(R, "Elegie in E-Flat Minor Op. 3"), (R, "Elegy Op. 3, No. 1")],
    [(R, "Etude-Tableau, Op. 39 No. 6 in A Minor"), ("Rachmaninov", "Op. 39 No. 6")],
    [(H, "Sonata in in F Major, Hob. XVI: 23, I. Allegro moderato"),
     ("Haydn", "Hob. XVI:23")],
    [("Claude Debussy", "L'isle joyeuse, L. 106"), ("Claude Debussy", "L'Isle Joyeuse")],
    [("Alexander Scriabin", "Sonata No. 5, Op. 53"), ("Scriabin", "Sonatas_5")],
    [("Mily Balakirev", 'Oriental Fantasy "Islamey"'), ("Balakirev", "Islamey")],
]  # fmt: skip


def _precision_and_recall() -> tuple[float, float, list]:
    titles = [(title, work) for work, titles in enumerate(WORKS) for title in titles]
    found = [(work_id(*title), work) for title, work in titles]
    together = [(a, b) for a, b in combinations(range(len(found)), 2) if found[a][0] == found[b][0]]
    same = [(a, b) for a, b in combinations(range(len(found)), 2) if found[a][1] == found[b][1]]
    right = set(together) & set(same)
    wrong = [(titles[a], titles[b]) for a, b in set(together) ^ set(same)]
    return len(right) / len(together), len(right) / len(same), wrong


def test_the_list_is_long_enough():
    assert sum(map(len, WORKS)) >= 60


def test_precision_and_recall_on_the_hand_checked_list():
    precision, recall, wrong = _precision_and_recall()
    assert (precision, recall) == (1.0, 1.0), wrong


@pytest.mark.parametrize("titles", WORKS, ids=lambda one: one[0][1][:40])
def test_spellings_of_one_work_agree(titles):
    assert len({work_id(*title) for title in titles}) == 1


def test_title_with_several_numbers_is_grouped_with_its_opus():
    ids = [
        work_id(C, title)
        for title in (
            "Etudes Op. 25 Nos. 1-5",
            "Complete Etudes, Opus 25",
            "Etude Op. 25 No. 11",
            "Two Preludes from Op. 28, Nos. 15 and 24",
            "Nocturne in B Major, Op. 9, No. 3",
        )
    ]
    assert ids[:2] == ["chopin:op25"] * 2
    groups = leak_safe_groups(ids)
    assert groups == ["chopin:op25"] * 3 + ["chopin:op28", "chopin:op9-3"]


def test_one_number_of_different_composers_is_two_works():
    assert work_id("Mozart", "Sonata K. 310") != work_id("Scarlatti", "Sonata K. 310")
    assert work_id("Mozart", "Piano_Sonatas_8-1") == work_id("Mozart", "Sonata K. 310")


def test_bach_and_his_sons_are_different_people():
    assert composer_key("Johann Christian Bach") != composer_key("Johann Sebastian Bach")
    assert composer_key("") == ""


def test_two_data_sets_agree_on_their_common_works(real_data):
    """ASAP cut pieces out of MAESTRO files and titled them independently."""
    import csv

    with (real_data / "maestro-midi" / "maestro-v3.0.0.csv").open(encoding="utf-8") as file:
        maestro = {row["midi_filename"]: row for row in csv.DictReader(file)}
    agree = differ = 0
    with (real_data / "asap" / "performances.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            there = maestro.get(row["maestro_midi"])
            if there is not None:
                ours = work_id(there["canonical_composer"], there["canonical_title"])
                same = leak_safe_groups([ours, work_id(row["composer"], row["title"])])
                agree += same[0] == same[1]
                differ += same[0] != same[1]
    # The rest differs between the data sets: one file is a nocturne here and Islamey there.
    assert agree / (agree + differ) > 0.99
