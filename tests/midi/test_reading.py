"""MIDI files as people have them: everything that a sequencer plays, at its time."""

import contextlib
import io

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mess_core.errors import MidiError
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.midi.standard_midi_file import parse_midi

ON, OFF, END = b"\x90", b"\x80", b"\x00\xff\x2f\x00"


def number(value: int) -> bytes:
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | value & 0x7F)
    return bytes(reversed(parts))


def midi(*tracks: bytes, division: int = 480, kind: int = 1) -> bytes:
    head = b"MThd" + (6).to_bytes(4, "big") + kind.to_bytes(2, "big")
    head += len(tracks).to_bytes(2, "big") + division.to_bytes(2, "big")
    return head + b"".join(b"MTrk" + len(one).to_bytes(4, "big") + one for one in tracks)


def event(delta: int, *data: int) -> bytes:
    return number(delta) + bytes(data)


def note(delta: int, ticks: int, key: int = 60, channel: int = 0) -> bytes:
    return event(delta, 0x90 | channel, key, 70) + event(ticks, 0x80 | channel, key, 0)


def tempo(delta: int, microseconds: int) -> bytes:
    return event(delta, 0xFF, 0x51, 3) + microseconds.to_bytes(3, "big")


def read(tmp_path, content: bytes, **options) -> Performance:
    path = tmp_path / "a.mid"
    path.write_bytes(content)
    return read_performance(path, **options)


# Time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_track", [0, 1, 2])
def test_tempo_counts_in_whatever_track_it_is(tmp_path, of_track):
    tracks = [b"", note(480, 480), note(960, 480, key=64)]
    tracks[of_track] = tempo(0, 1_000_000) + tracks[of_track]
    found = read(tmp_path, midi(*(one + END for one in tracks)))
    np.testing.assert_allclose(found.onset_s, [1.0, 2.0])


def test_a_tempo_change_in_another_track_counts_from_its_own_time(tmp_path):
    found = read(tmp_path, midi(note(0, 960) + END, tempo(480, 1_000_000) + END))
    assert found.end_s == pytest.approx(1.5)


@pytest.mark.parametrize(("frames", "rate"), [(24, 24.0), (25, 25.0), (29, 30 / 1.001), (30, 30.0)])
def test_smpte_division_is_of_frames_whatever_the_tempo(tmp_path, frames, rate):
    division = (256 - frames) << 8 | 40
    content = midi(tempo(0, 250_000) + note(round(40 * rate), 40) + END, division=division)
    assert read(tmp_path, content).onset_s[0] == pytest.approx(1.0, abs=1e-3)


def test_fine_ticks_over_minutes_are_read(tmp_path):
    content = midi(note(0, 100) + note(32_767 * 2 * 300, 100) + END, division=32_767)
    assert read(tmp_path, content).onset_s[1] == pytest.approx(300.0, abs=0.01)


def test_sequences_of_a_file_of_format_2_follow_each_other(tmp_path):
    content = midi(note(0, 480) + END, tempo(0, 1_000_000) + note(0, 480, key=64) + END, kind=2)
    found = read(tmp_path, content)
    assert found.onset_s.tolist() == [0.0, 0.5]
    assert found.end_s == pytest.approx(1.5)


# Notes --------------------------------------------------------------------------------------


def test_notes_without_length_last_a_millisecond(tmp_path):
    found = read(tmp_path, midi(note(0, 0) + note(480, 0) + note(480, 480) + END))
    np.testing.assert_allclose(found.onset_s, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(found.offset_s, [0.001, 0.501, 1.5])


def test_a_note_written_twice_at_one_tick_is_one(tmp_path):
    found = read(tmp_path, midi(note(0, 0) + note(0, 480) + END))
    assert (len(found), found.end_s) == (1, 0.5)


def test_a_repeated_key_may_begin_before_the_note_before_ends(tmp_path):
    on_first = event(0, 0x90, 60, 70) + event(480, 0x90, 60, 80) + event(0, 0x80, 60, 0)
    found = read(tmp_path, midi(on_first + event(480, 0x80, 60, 0) + END))
    assert found.offset_s.tolist() == [0.5, 1.0]


def test_a_note_that_is_never_released_lasts_until_its_track_ends(tmp_path):
    content = midi(event(0, 0x90, 60, 70) + note(480, 480, key=64) + event(480, 0xFF, 0x2F, 0))
    found = read(tmp_path, content)
    assert found.offset_s[found.pitch == 60].tolist() == [1.5]


@pytest.mark.parametrize(
    ("other", "left_out"),
    [
        (note(0, 480, key=36, channel=9), 1),  # drums
        (event(0, 0xC1, 48) + note(0, 480, channel=1), 1),  # strings
        (note(0, 480, key=12) + note(0, 480, key=120), 2),  # key switches
    ],
)
def test_what_no_piano_plays_is_left_out_and_counted(tmp_path, other, left_out):
    found = read(tmp_path, midi(note(0, 480) + END, other + END))
    assert (found.pitch.tolist(), found.notes_left_out) == ([60], left_out)


def test_a_program_in_a_track_of_its_own_counts(tmp_path):
    programs = event(0, 0xC1, 48) + END
    found = read(tmp_path, midi(note(0, 480) + END, note(0, 480, 62, 1) + END, programs))
    assert (found.pitch.tolist(), found.notes_left_out) == ([60], 1)


def test_a_file_of_one_other_instrument_is_read(tmp_path):
    found = read(tmp_path, midi(event(0, 0xC0, 73) + note(0, 480) + END))
    assert (len(found), found.notes_left_out) == (1, 0)


def test_programs_of_one_tick_count_in_the_order_of_the_file(tmp_path):
    programs = event(0, 0xC0, 48) + event(0, 0xC0, 0)
    found = read(tmp_path, midi(programs + note(0, 480) + END, note(0, 480, 62, 1) + END))
    assert (sorted(found.pitch.tolist()), found.notes_left_out) == ([60, 62], 0)


@pytest.mark.parametrize("controller", [120, 123, 126])
def test_all_notes_off_releases_the_keys_of_its_channel(tmp_path, controller):
    held = event(0, 0x90, 60, 70) + event(0, 0x91, 64, 70)
    content = midi(held + event(480, 0xB0, controller, 0) + event(480, 0x81, 64, 0) + END)
    found = read(tmp_path, content)
    assert dict(zip(found.pitch.tolist(), found.offset_s.tolist(), strict=True)) == {
        60: 0.5,
        64: 1.0,
    }


def test_many_releases_at_one_tick_end_nothing(tmp_path):
    crowd = event(0, 0x90, 60, 70) * 20_000 + event(0, 0x80, 60, 0) * 20_000
    assert len(read(tmp_path, midi(crowd + END))) == 20_000


# Pedal --------------------------------------------------------------------------------------


def pedal(delta: int, value: int, channel: int = 0) -> bytes:
    return event(delta, 0xB0 | channel, 64, value)


@pytest.mark.parametrize("channel", [0, 1, 15])
@pytest.mark.parametrize("own_track", [False, True])
def test_pedal_of_any_channel_and_track_counts(tmp_path, channel, own_track):
    presses = pedal(0, 127, channel) + pedal(480, 0, channel)
    notes = note(0, 480)
    tracks = (notes, presses) if own_track else (presses + notes,)
    found = read(tmp_path, midi(*(one + END for one in tracks)))
    assert found.pedal_s.tolist() == [[0.0, 0.5]]


def test_pedal_up_on_one_channel_does_not_release_that_of_another(tmp_path):
    left = note(0, 1920) + END
    presses = pedal(0, 127, 0) + pedal(480, 127, 1) + pedal(480, 0, 1) + pedal(480, 0, 0) + END
    assert read(tmp_path, midi(left, presses)).pedal_s.tolist() == [[0.0, 1.5]]


def test_events_of_one_tick_count_in_the_order_of_the_file(tmp_path):
    change = pedal(0, 127) + pedal(480, 0) + pedal(0, 127) + pedal(480, 0)
    assert read(tmp_path, midi(change + END, note(0, 1920) + END)).pedal_s.tolist() == [
        [0.0, 0.5],
        [0.5, 1.0],
    ]


def test_a_reset_of_controllers_releases_the_pedal(tmp_path):
    change = pedal(0, 127) + event(480, 0xB0, 121, 0)
    assert read(tmp_path, midi(change + END, note(0, 1920) + END)).pedal_s.tolist() == [[0.0, 0.5]]


def test_pedal_of_a_part_that_is_left_out_has_no_say(tmp_path):
    strings = event(0, 0xC1, 48) + pedal(0, 127, 1) + note(0, 480, channel=1) + END
    assert len(read(tmp_path, midi(note(0, 480) + END, strings)).pedal_s) == 0


# Tolerance ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        event(0, 0xFF, 0x59, 2, 99, 7),  # key signature
        event(0, 0xFF, 0x58, 1, 4),  # short time signature
        event(0, 0xFF, 0x51, 2, 1, 1),  # short tempo
        event(0, 0xFF, 0x51, 3, 0, 0, 0),  # no tempo
        event(0, 0xFF, 0x03, 3, 0xFF, 0xFE, 0xFD),  # name in no encoding
        event(0, 0xFF, 0x7E, 1, 9),  # unknown
        event(0, 0xF0, 3, 1, 2, 0xF7),  # for one device
        event(0, 0xF8),  # of a live stream
        event(0, 0xB0, 64, 200) + event(0, 0xB0, 64, 0),  # data byte over 127
    ],
)
def test_what_a_sequencer_skips_is_skipped(tmp_path, odd):
    found = read(tmp_path, midi(odd + note(480, 480) + END))
    assert found.onset_s.tolist() == [0.5]


def test_chunks_of_other_programs_and_wrappers_are_skipped(tmp_path):
    content = midi(note(0, 480) + END)
    other = b"XFIH" + (4).to_bytes(4, "big") + b"abcd"
    content = content[:14] + other + content[14:]
    wrapped = b"RIFF" + (len(content) + 12).to_bytes(4, "little") + b"RMIDdata"
    wrapped += len(content).to_bytes(4, "little") + content
    assert len(read(tmp_path, wrapped)) == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (midi(), "no tracks"),
        (midi(note(0, 480) + END, division=0), "no ticks per quarter"),
        (midi(note(0, 480) + END, division=0xE700), "no ticks per frame"),
        (midi(event(0, 60, 70)), "no status byte"),
        (midi(event(0, 0x90, 60)), "ends within an event"),
        (midi(note(0, 480) + event(0, 0xFF, 0x01, 90)), "ends within an event"),
        (midi(b"\xff\xff\xff\xff\xff"), "more than four bytes"),
        (midi(note(0, 480) + END)[:-6], "truncated: 7 of 13 bytes"),
        (midi(note(0x0FFFFFFF, 480) + END, division=1), "hours"),
        (midi(note(0, 480, key=12) + END), "no notes that a piano has"),
    ],
)
def test_damaged_files_say_what_is_wrong(tmp_path, content, problem):
    with pytest.raises(MidiError, match=problem) as raised:
        read(tmp_path, content)
    assert "a.mid" in str(raised.value)
    assert raised.value.remedy


# Against the library --------------------------------------------------------------------------


@st.composite
def files(draw) -> bytes:
    """Files that pretty_midi reads, with tempo changes in the first track."""
    file = mido.MidiFile(ticks_per_beat=draw(st.sampled_from([96, 480, 960])))
    meta = mido.MidiTrack()
    for _ in range(draw(st.integers(0, 3))):
        at, speed = draw(st.integers(0, 2000)), draw(st.integers(200_000, 1_500_000))
        meta.append(mido.MetaMessage("set_tempo", tempo=speed, time=at))
    file.tracks.append(meta)
    for channel in range(draw(st.integers(1, 2))):
        track = mido.MidiTrack()
        for _ in range(draw(st.integers(1, 12))):
            kind = draw(st.sampled_from(["note_on", "note_off", "control_change"]))
            at = draw(st.integers(1, 500))
            if kind == "control_change":
                value = draw(st.integers(0, 127))
                track.append(mido.Message(kind, control=64, value=value, time=at, channel=channel))
            else:
                key = draw(st.sampled_from([60, 61]))
                track.append(mido.Message(kind, note=key, velocity=64, time=at, channel=channel))
        file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


@settings(max_examples=60, deadline=None)
@given(content=files())
def test_notes_that_end_are_those_of_pretty_midi(tmp_path_factory, content):
    expected = sorted(
        (one.start, max(one.end, one.start + 0.001), one.pitch)
        for part in pretty_midi.PrettyMIDI(io.BytesIO(content)).instruments
        for one in part.notes
    )
    path = tmp_path_factory.getbasetemp() / "same.mid"
    path.write_bytes(content)
    try:
        found = read_performance(path)
    except MidiError:
        assert not expected
        return
    mine = sorted(zip(found.onset_s, found.offset_s, found.pitch, strict=True))
    # pretty_midi leaves out notes without an end.
    ends = [track.seconds(track.end) for track in parse_midi(content)]
    for one in expected:
        assert any(np.allclose(one, other) for other in mine)
    extra = [one for one in mine if not any(np.allclose(one, other) for other in expected)]
    assert all(np.isclose(end, ends).any() or end - start < 0.0011 for start, end, _ in extra)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_bytes_give_notes_or_one_clear_error(tmp_path_factory, data):
    tracks = tempo(0, 400_000) + note(0, 480) + pedal(0, 90) + END, note(9, 9) + END
    content = bytearray(midi(*tracks))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.mid"
    path.write_bytes(bytes(content) + data.draw(st.binary(max_size=20)))
    with contextlib.suppress(MidiError):
        found = read_performance(path)
        assert (found.offset_s > found.onset_s).all()
        assert np.isfinite(found.offset_s).all()
        assert (np.diff(found.onset_s) >= 0).all()
