"""Pretraining: labels with known answers, resumable training, and the recipe as a whole."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import mess_core as mess
from mess_core.cli import cli
from mess_core.datasets.demo import write_midi
from mess_core.datasets.synthesis import Notes
from mess_core.encoders.heard_works import HeardWorks
from mess_core.encoders.piano import WORKS, PianoConfig, PianoModel
from mess_core.encoders.registry import PIANO_WEIGHTS
from mess_core.errors import AudioError, EncoderError
from mess_core.midi.performance import Performance
from mess_core.pretraining.clip_rendering import installed_instruments, render_file
from mess_core.pretraining.encoder_training import load_clips, train
from mess_core.pretraining.excerpts import EXCERPT_S, cut_excerpts, manipulated
from mess_core.pretraining.labels import LOWEST, POOLED, labels_of
from mess_core.pretraining.objective import Batch, Heads, losses
from mess_core.pretraining.recipe import check_trained, train_encoder
from mess_core.pretraining.settings import Recipe, TrainingSettings

FOLDER = Path("/usr/share/sounds/sf2")
SOUNDFONTS = [one for one in (FOLDER / "TimGM6mb.sf2", FOLDER / "FluidR3_GM.sf2") if one.exists()]
WITHOUT_PIANOS = FOLDER / "FluidR3_GS.sf2"
QUICK = TrainingSettings(steps=2, excerpts=1, check_every=1, precision="float32")
HOW = {"windows": 1, "precision": torch.float32}


def _played(work, tempo=1.0):
    """Notes of a piece that never repeats."""
    rng = np.random.default_rng(work)
    onset = tempo * np.cumsum(rng.uniform(0.15, 0.3, 200))
    pitch = 40 + np.cumsum(rng.integers(-5, 6, 200)) % 40
    velocity = rng.integers(30, 100, 200)
    return Notes(onset, onset + 0.1, pitch, velocity, np.array([[1.0, 2.0]]))


@pytest.fixture(scope="module")
def midi(tmp_path_factory):
    """Four works, one of them twice under two titles, and a file that is no MIDI."""
    folder = tmp_path_factory.mktemp("midi")
    for work, name in enumerate(["one", "two", "three", "four"]):
        write_midi(_played(work), folder / f"{name}__a.mid")
    write_midi(_played(0, tempo=0.8), folder / "untitled__b.mid")
    (folder / "broken__a.mid").write_bytes(b"MThd not really")
    return folder


@pytest.fixture(scope="module")
def trained(midi, tmp_path_factory):
    out = tmp_path_factory.mktemp("encoder")
    lines = []
    recipe = Recipe(excerpts=1, workers=1, held_out=0.3, training=QUICK)
    report = train_encoder(midi, out, recipe, say=lines.append)
    return out, recipe, report, lines


def _melody(count=60, step=0.25):
    onset = np.arange(count) * step
    pitch = 60 + np.arange(count) % 12
    return Performance(onset, onset + 0.2, pitch, 40 + np.arange(count), np.array([[1.0, 2.0]]))


def test_labels_say_when_which_key_is_struck_how_hard_and_pedalled():
    labels = labels_of(_melody(), EXCERPT_S)
    assert labels.onset.shape == labels.sounding.shape == (250, 88)
    struck = np.argwhere(labels.onset > 0)
    np.testing.assert_array_equal(struck[:, 0], np.round(np.arange(60) * 0.25 * 12.5))
    np.testing.assert_array_equal(struck[:, 1] + LOWEST, 60 + np.arange(60) % 12)
    velocities = labels.onset[struck[:, 0], struck[:, 1]].astype(float) * 127
    np.testing.assert_allclose(velocities, 40 + np.arange(60), atol=0.1)
    assert (labels.sounding[labels.onset > 0]).all()
    np.testing.assert_array_equal(np.flatnonzero(labels.pedal), np.arange(12, 25))
    numbers = dict(zip(POOLED, labels.pooled.tolist(), strict=True))
    assert numbers["velocity_mean"] == pytest.approx(40 + 59 / 2)
    assert 2 ** numbers["notes_per_second"] == pytest.approx(60 / (59 * 0.25))


def test_a_manipulated_copy_has_the_same_notes_played_in_another_way():
    one = _melody()
    copies = [manipulated(one, np.random.default_rng(seed)) for seed in range(20)]
    again = manipulated(one, np.random.default_rng(3))
    np.testing.assert_array_equal(again.onset_s, copies[3].onset_s)
    for copy in copies:
        assert set(copy.pitch) == set(one.pitch)
        assert (copy.offset_s > copy.onset_s).all()
        assert copy.onset_s.min() >= 0
        assert copy.velocity.min() >= 1
        assert copy.velocity.max() <= 127
    assert np.std([copy.velocity.mean() for copy in copies]) > 5
    assert np.std([copy.onset_s[20] for copy in copies]) > 0.3


def test_excerpts_start_at_zero_and_stay_within_their_length():
    long = _melody(count=600)
    parts = cut_excerpts(long, 4, seed=0)
    assert len(parts) == 4
    for part in parts:
        assert part.onset_s.min() >= 0
        assert part.onset_s.max() < EXCERPT_S
        assert len(part) == pytest.approx(EXCERPT_S / 0.25, abs=1)
    assert cut_excerpts(_melody(count=10), 4, seed=0) == []


def test_a_key_is_released_before_it_is_struck_again():
    """A note that outlasts its repetition would end the repetition in MIDI, but not in labels."""
    one = _melody(count=120, step=0.2)
    held = replace(one, pitch=np.full(len(one), 60), offset_s=one.onset_s + 1.0)
    parts = cut_excerpts(held, 1, seed=0)
    parts += [manipulated(parts[0], np.random.default_rng(seed)) for seed in range(5)]
    for part in parts:
        order = np.argsort(part.onset_s)
        apart = np.diff(part.onset_s[order]) > 3e-3
        assert (part.offset_s[order][:-1] < part.onset_s[order][1:])[apart].all()
        assert (part.offset_s > part.onset_s).all()


def test_an_excerpt_whose_notes_come_late_may_have_no_slower_copy():
    late = _melody(count=25, step=0.03)
    late = replace(late, onset_s=late.onset_s + 19.0, offset_s=late.offset_s + 19.0)
    copies = [manipulated(late, np.random.default_rng(seed)) for seed in range(40)]
    assert any(copy is None for copy in copies)
    assert any(copy is not None for copy in copies)


def test_one_instrument_renders_each_performance_once(midi, tmp_path):
    instruments = installed_instruments([])
    assert len(instruments) == 1
    render_file(midi / "one__a.mid", tmp_path / "one.npz", instruments, excerpts=1, seed=0)
    with np.load(tmp_path / "one.npz") as arrays:
        performances = arrays["performance"].tolist()
    assert sorted(set(performances)) == sorted(performances) == [0, 1, 2]


@pytest.mark.skipif(not shutil.which("fluidsynth"), reason="install fluidsynth")
@pytest.mark.skipif(not SOUNDFONTS, reason="install fluid-soundfont-gm")
def test_instruments_out_of_tune_keep_their_time(tmp_path):
    """Where labels say that a key is struck, the clip's level rises, at the end as at the start."""
    onset = np.arange(1.0, 19.5, 0.8)
    pitch, velocity = np.full(len(onset), 69), np.full(len(onset), 90)
    write_midi(Notes(onset, onset + 0.2, pitch, velocity, np.empty((0, 2))), tmp_path / "a4__x.mid")
    instruments = installed_instruments(SOUNDFONTS[:1])
    render_file(tmp_path / "a4__x.mid", tmp_path / "a4.npz", instruments, excerpts=1, seed=5)
    with np.load(tmp_path / "a4.npz") as arrays:
        mels, onsets = arrays["mel"].astype(np.float64), arrays["onset"]
        performance = arrays["performance"]
    assert (performance == 0).sum() == 2
    for mel, struck in zip(mels, onsets, strict=True):
        level = np.log(np.exp(4 * mel - 9).sum(axis=1)).reshape(len(struck), -1)  # a row per state
        rise = np.diff(level.max(axis=1), prepend=level[0].max())
        at = np.flatnonzero(struck.max(axis=1) > 0)
        found = [rise[max(one - 1, 0) : one + 2].max() for one in at]
        assert np.mean(np.array(found) > np.median(np.abs(rise)) + 0.2) > 0.9


def test_the_contrast_compares_only_clips_that_have_a_partner():
    torch.manual_seed(0)
    model, heads = PianoModel(PianoConfig(blocks=2)), Heads(192)
    batch = Batch(
        mel=torch.randn(3, 200, 160),
        onset=torch.zeros(3, 50, 88),
        sounding=torch.zeros(3, 50, 88),
        pedal=torch.zeros(3, 50),
        pooled=torch.full((3, len(POOLED)), torch.nan),
        performance=torch.tensor([0, 1, 2]),
    )
    apart = losses(model, heads, batch, **HOW)
    assert apart["contrast"].item() == 0
    assert apart["pooled"].item() == 0  # nothing is known
    assert torch.isfinite(torch.stack(list(apart.values()))).all()
    joined = losses(model, heads, replace(batch, performance=torch.tensor([0, 0, 1])), **HOW)
    assert joined["contrast"].item() > 0


def test_interrupted_training_ends_with_the_same_weights(trained, tmp_path):
    clips = load_clips(sorted((trained[0] / "clips").rglob("*.npz"))[:2])
    settings = replace(QUICK, steps=3)
    train(clips, clips, tmp_path / "whole", settings)
    checks = []

    def stop_at_the_second_check(line):
        checks.extend([line] if line.startswith("held out") else [])
        if len(checks) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(clips, clips, tmp_path / "parts", settings, say=stop_at_the_second_check)
    lines = []
    train(clips, clips, tmp_path / "parts", settings, say=lines.append)
    assert lines[0] == "resumed at step 1"
    ends = [
        torch.load(tmp_path / one / "last.pt", weights_only=True)["model"]
        for one in ("whole", "parts")
    ]
    for name, value in ends[0].items():
        # A step changes weights by about 1e-3; the order of sums in threads by 1e-6.
        torch.testing.assert_close(value, ends[1][name], atol=2e-5, rtol=0.0)


def test_the_recipe_ends_with_an_encoder_that_loads(trained, midi):
    out, _, report, lines = trained
    assert report["files"] == 5
    assert report["works"] == 4
    assert report["works_held_out"] == 1
    assert report["step"] == 2
    (skipped,) = report["skipped"]
    assert skipped.endswith("broken__a.mid")
    assert any(line.startswith("rendered 5 of 5") for line in lines)
    assert (out / PIANO_WEIGHTS).stat().st_size < 8 * 2**20
    encoder = mess.load_encoder(out)
    found = encoder.embed(np.zeros(2 * encoder.sample_rate, dtype=np.float32))
    assert np.isfinite(found.track).all()


def test_works_of_the_training_are_recorded_by_title_and_notes(trained, midi):
    heard = HeardWorks.load(trained[0] / WORKS)
    title_of = dict(zip(heard.performances, heard.works, strict=True))
    assert title_of["one__a"] != title_of["untitled__b"]  # each is found by its own title
    use_of = dict(zip(heard.performances, heard.use, strict=True))
    assert use_of["one__a"] == use_of["untitled__b"]  # but they are one work, on one side
    assert set(use_of.values()) == {"training", "held out"}


def test_weights_that_heard_a_work_held_out_are_found(trained, tmp_path):
    found = check_trained(trained[0])
    assert found.passed
    assert found.facts["works"] == 5  # by title: one of the four has two
    heard = HeardWorks.load(trained[0] / WORKS)
    (tmp_path / PIANO_WEIGHTS).write_bytes((trained[0] / PIANO_WEIGHTS).read_bytes())
    one = heard.use.index("held out")
    twice = replace(
        heard,
        works=(*heard.works, heard.works[one]),
        performances=(*heard.performances, "another"),
        use=(*heard.use, "training"),
        sketches=(*heard.sketches, heard.sketches[one]),
    )
    twice.save(tmp_path / WORKS)
    assert check_trained(tmp_path).facts["on both sides"] == [heard.works[one]]
    (tmp_path / PIANO_WEIGHTS).write_bytes(b"none")
    assert "does not fit" in check_trained(tmp_path).facts["problem"]


def test_the_same_call_again_renders_and_trains_nothing(trained, midi):
    out, recipe, report, _ = trained
    before = (out / PIANO_WEIGHTS).read_bytes()
    lines = []
    again = train_encoder(midi, out, recipe, say=lines.append)
    assert "resumed at step 2" in lines
    assert again["step"] == report["step"]
    assert (out / PIANO_WEIGHTS).read_bytes() == before


def test_works_that_will_be_evaluated_on_are_left_out_by_their_notes(midi, tmp_path):
    evaluated = tmp_path / "evaluated"
    evaluated.mkdir()
    write_midi(_played(0, tempo=1.2), evaluated / "nocturne__z.mid")
    recipe = Recipe(excerpts=1, workers=1, exclude=(str(evaluated),), training=QUICK)
    report = train_encoder(midi, tmp_path / "out", recipe)
    left_out = [path for path, reason in report["skipped"].items() if "evaluated" in reason]
    assert sorted(path.rsplit("/", 1)[1] for path in left_out) == ["one__a.mid", "untitled__b.mid"]
    assert "one__a" not in HeardWorks.load(tmp_path / "out" / WORKS).performances


def test_works_are_left_out_by_title_where_the_folder_has_no_notes(midi, tmp_path):
    evaluated = tmp_path / "evaluated"
    evaluated.mkdir()
    (evaluated / "two__z.wav").write_bytes(b"RIFF, and no MIDI beside")
    recipe = Recipe(excerpts=1, workers=1, exclude=(str(evaluated),), training=QUICK)
    report = train_encoder(midi, tmp_path / "out", recipe)
    left_out = [path for path, reason in report["skipped"].items() if "evaluated" in reason]
    assert [path.rsplit("/", 1)[1] for path in left_out] == ["two__a.mid"]


def test_works_with_several_performances_can_be_kept_for_evaluation(midi, tmp_path):
    report = train_encoder(
        midi, tmp_path / "out", Recipe(excerpts=1, workers=1, shared_works=0, training=QUICK)
    )
    kept = [path for path, reason in report["skipped"].items() if "for evaluation" in reason]
    assert sorted(path.rsplit("/", 1)[1] for path in kept) == ["one__a.mid", "untitled__b.mid"]
    heard = HeardWorks.load(tmp_path / "out" / WORKS)
    assert sorted(heard.performances) == ["four__a", "three__a", "two__a"]


def test_other_training_in_the_same_folder_is_refused(midi, trained, tmp_path):
    """Else weights that heard a work would be said not to have heard it."""
    evaluated = tmp_path / "evaluated"
    evaluated.mkdir()
    write_midi(_played(1), evaluated / "etude__z.mid")
    with pytest.raises(EncoderError, match="Choose another folder") as error:
        train_encoder(midi, trained[0], replace(trained[1], exclude=(str(evaluated),)))
    assert str(trained[0]) in str(error.value)


def test_clips_of_other_soundfonts_are_not_taken_for_these(midi, tmp_path, monkeypatch):
    recipe = Recipe(excerpts=1, workers=1, training=QUICK)
    train_encoder(midi, tmp_path, recipe)
    before = len(list((tmp_path / "clips").rglob("*.npz")))
    monkeypatch.setattr("mess_core.pretraining.recipe.RENDERING_VERSION", "another")
    with pytest.raises(EncoderError, match="other settings, works or clips"):
        train_encoder(midi, tmp_path, recipe)
    assert len(list((tmp_path / "clips").rglob("*.npz"))) == 2 * before


def test_half_precision_trains_much_like_single_precision(trained, tmp_path):
    clips = load_clips(sorted((trained[0] / "clips").rglob("*.npz"))[:2])
    ends = []
    for precision in ("float32", "bfloat16"):
        settings = replace(QUICK, steps=3, precision=precision)
        lines = []
        train(clips, clips, tmp_path / precision, settings, say=lines.append)
        state = torch.load(tmp_path / precision / "last.pt", weights_only=True)["model"]
        ends.append(torch.cat([one.flatten() for one in state.values()]))
    start = torch.load(tmp_path / "float32" / "last.pt", weights_only=True)["state"]
    assert start["step"] == 3
    assert torch.nn.functional.cosine_similarity(*ends, dim=0) > 0.999
    with pytest.raises(EncoderError, match="choose from bfloat16, float32"):
        train(clips, clips, tmp_path / "x", replace(QUICK, precision="int8"))


def test_a_single_work_is_a_clear_error(midi, tmp_path):
    single = tmp_path / "single"
    single.mkdir()
    (single / "one__a.mid").write_bytes((midi / "one__a.mid").read_bytes())
    with pytest.raises(EncoderError, match="several works"):
        train_encoder(single, tmp_path / "out", Recipe(excerpts=1, workers=1, training=QUICK))
    found = CliRunner().invoke(cli, ["train-encoder", str(single), str(tmp_path / "out")])
    assert found.exit_code == 1
    assert "several works" in found.output


@pytest.mark.skipif(not shutil.which("fluidsynth"), reason="install fluidsynth")
def test_files_that_are_no_soundfonts_are_refused_before_anything_is_rendered(tmp_path):
    (tmp_path / "text.sf2").write_text("no soundfont, but twelve bytes and more")
    with pytest.raises(AudioError, match="no such soundfont"):
        installed_instruments([tmp_path / "none.sf2"])
    with pytest.raises(AudioError, match="is not a soundfont"):
        installed_instruments([tmp_path / "text.sf2"])
    if WITHOUT_PIANOS.exists():  # comes with fluid-soundfont-gs
        with pytest.raises(AudioError, match="plays nothing as General MIDI program 0"):
            installed_instruments([WITHOUT_PIANOS])


def test_the_command_says_what_it_trained_on(midi, tmp_path):
    options = ["--steps", "1", "--excerpts", "1", "--batch", "1", "--workers", "1"]
    found = CliRunner().invoke(cli, ["train-encoder", str(midi), str(tmp_path), *options])
    assert found.exit_code == 0, found.output
    assert "5 files of 4 works, 1 skipped" in found.output
    assert "on 1 works held out: onset_f" in found.output
