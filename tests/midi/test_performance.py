"""MIDI files as arrays: chords, pedal, and every kind of unusable file."""

import numpy as np
import pretty_midi
import pytest

from mess_core.errors import MidiError
from mess_core.midi.reading import read_performance


def _write(path, notes, controls=(), drums=False):
    midi = pretty_midi.PrettyMIDI(resolution=960)
    piano = pretty_midi.Instrument(0, is_drum=drums)
    piano.notes = [pretty_midi.Note(velocity, pitch, on, off) for on, off, pitch, velocity in notes]
    piano.control_changes = [pretty_midi.ControlChange(64, value, at) for at, value in controls]
    midi.instruments.append(piano)
    midi.write(str(path))
    return path


def test_notes_are_sorted_and_chords_grouped(tmp_path):
    notes = [(1.0, 2, 64, 50), (0.0, 1, 60, 40), (1.02, 2, 67, 60), (1.1, 2, 72, 70)]
    performance = read_performance(_write(tmp_path / "a.mid", notes))
    assert performance.pitch.tolist() == [60, 64, 67, 72]
    assert performance.chord_of_note.tolist() == [0, 1, 1, 2]
    np.testing.assert_allclose(performance.chord_onset_s, [0, 1.01, 1.1], atol=2e-3)


def test_pedal_extends_notes(tmp_path):
    notes = [(0.0, 0.5, 60, 40), (2.0, 2.5, 62, 40)]
    pedal = [(0.3, 127), (1.5, 0), (2.2, 100)]
    performance = read_performance(_write(tmp_path / "a.mid", notes, pedal))
    np.testing.assert_allclose(performance.sounding_offset_s, [1.5, 2.5], atol=2e-3)
    assert performance.pedal_fraction == pytest.approx((1.2 + 0.3) / 2.5, abs=0.01)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "does not exist"), (b"", "is empty"), (b"RIFFabcd" * 9, "not MIDI")],
)
def test_unusable_files_are_named(tmp_path, content, problem):
    path = tmp_path / "bad.mid"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MidiError, match=problem) as raised:
        read_performance(path)
    assert "bad.mid" in str(raised.value)


def test_truncated_midi_is_an_error_at_any_length(tmp_path, corpus):
    content = sorted(corpus.glob("*.mid"))[0].read_bytes()
    path = tmp_path / "cut.mid"
    for length in np.linspace(10, len(content) - 10, 12, dtype=int):
        path.write_bytes(content[:length])
        with pytest.raises(MidiError, match=r"truncated|no notes"):
            read_performance(path)


def test_drums_and_empty_files_are_errors(tmp_path):
    with pytest.raises(MidiError, match="only drums"):
        read_performance(_write(tmp_path / "d.mid", [(0, 1, 36, 90)], drums=True))
    with pytest.raises(MidiError, match="no notes"):
        read_performance(_write(tmp_path / "e.mid", []))
