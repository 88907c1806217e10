"""The demo corpus: what is written is what was meant, and players differ as they are said to."""

import numpy as np
import pytest

from mess_core.datasets.demo import HABITS, demo_score, perform, write_demo_corpus, write_midi
from mess_core.midi.reading import read_performance
from mess_core.targets.tracks import targets_from_midi


@pytest.mark.parametrize("work", range(8))
@pytest.mark.parametrize("player", HABITS)
def test_midi_files_hold_every_note_at_its_length(work, player, tmp_path):
    """A note held over its repetition would end the repetition when the file is read."""
    notes = perform(demo_score(work), HABITS[player], seed=3)
    write_midi(notes, tmp_path / "take.mid")
    read = read_performance(tmp_path / "take.mid")
    assert len(read) == len(notes.pitch)
    order = np.lexsort((read.onset_s, read.pitch))
    meant = np.lexsort((notes.onset_s, notes.pitch))
    np.testing.assert_array_equal(read.pitch[order], notes.pitch[meant])
    np.testing.assert_allclose(read.onset_s[order], notes.onset_s[meant], atol=1e-3)
    np.testing.assert_allclose(read.offset_s[order], notes.offset_s[meant], atol=2e-3)


def test_pieces_are_on_the_keyboard_and_last_about_as_long():
    for work in range(24):
        score = demo_score(work)
        assert 21 <= score.pitch.min() <= score.pitch.max() <= 108
        assert 8 < (score.beat + score.length_beats).max() * 60 / score.bpm < 15


def test_players_differ_in_what_they_are_named_after(tmp_path):
    measured = {}
    for player, habit in HABITS.items():
        takes = []
        for work in range(6):
            write_midi(perform(demo_score(work), habit, seed=work), tmp_path / "take.mid")
            takes.append(targets_from_midi(tmp_path / "take.mid"))
        measured[player] = {name: np.mean([one[name] for one in takes]) for name in takes[0]}

    def least(name):
        return min(measured, key=lambda player: measured[player][name])

    def most(name):
        return max(measured, key=lambda player: measured[player][name])

    assert (least("articulation_ratio"), most("articulation_ratio")) == ("dry", "gentle")
    assert (least("velocity_mean"), most("velocity_mean")) == ("gentle", "dramatic")
    assert most("velocity_std") == "dramatic"
    assert (least("rubato"), most("rubato")) == ("steady", "free")
    assert most("onset_timing_std") == "free"


def test_there_are_five_players(tmp_path):
    with pytest.raises(ValueError, match="at most 5"):
        write_demo_corpus(tmp_path / "demo", players=6)
