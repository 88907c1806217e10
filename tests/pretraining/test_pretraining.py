"""Pretraining: labels with known answers, resumable training, and the recipe as a whole."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import mess_core as mess
from mess_core.cli import cli
from mess_core.datasets.demo import write_midi
from mess_core.datasets.synthesis import Notes
from mess_core.encoders.heard_works import HeardWorks
from mess_core.encoders.piano import WEIGHTS, WORKS, PianoConfig, PianoModel
from mess_core.errors import AudioError, EncoderError
from mess_core.midi.performance import Performance
from mess_core.pretraining.excerpts import EXCERPT_S, cut_excerpts, manipulated
from mess_core.pretraining.labels import LOWEST, POOLED, labels_of
from mess_core.pretraining.objective import Batch, Heads, losses
from mess_core.pretraining.recipe import Recipe, train_encoder
from mess_core.pretraining.rendering import installed_instruments
from mess_core.pretraining.training import TrainingSettings, load_clips, train

QUICK = TrainingSettings(steps=2, excerpts=1, check_every=1)


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
    recipe = Recipe(excerpts=1, held_out=0.3, training=QUICK)
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
    apart = losses(model, heads, batch, windows=1)
    assert apart["contrast"].item() == 0
    assert apart["pooled"].item() == 0  # nothing is known
    assert torch.isfinite(torch.stack(list(apart.values()))).all()
    joined = losses(model, heads, replace(batch, performance=torch.tensor([0, 0, 1])), windows=1)
    assert joined["contrast"].item() > 0


def test_interrupted_training_ends_with_the_same_weights(trained, tmp_path):
    clips = load_clips(sorted((trained[0] / "clips").rglob("*.npz"))[:2])
    settings = TrainingSettings(steps=3, excerpts=1, check_every=1)
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
    assert (out / WEIGHTS).stat().st_size < 8 * 2**20
    encoder = mess.load_encoder(out)
    found = encoder.embed(np.zeros(2 * encoder.sample_rate, dtype=np.float32))
    assert np.isfinite(found.track).all()


def test_works_of_the_training_are_recorded_by_title_and_notes(trained, midi):
    heard = HeardWorks.load(trained[0] / WORKS)
    work_of = dict(zip(heard.performances, heard.works, strict=True))
    assert work_of["one__a"] == work_of["untitled__b"]
    use_of_work = {}
    for work, use in zip(heard.works, heard.use, strict=True):
        use_of_work.setdefault(work, set()).add(use)
    assert all(len(uses) == 1 for uses in use_of_work.values())
    assert sum(uses == {"held out"} for uses in use_of_work.values()) == 1


def test_the_same_call_again_renders_and_trains_nothing(trained, midi):
    out, recipe, report, _ = trained
    before = (out / WEIGHTS).read_bytes()
    lines = []
    again = train_encoder(midi, out, recipe, say=lines.append)
    assert "resumed at step 2" in lines
    assert again["step"] == report["step"]
    assert (out / WEIGHTS).read_bytes() == before


def test_works_that_will_be_evaluated_on_are_left_out_by_their_notes(midi, tmp_path):
    evaluated = tmp_path / "evaluated"
    evaluated.mkdir()
    write_midi(_played(0, tempo=1.2), evaluated / "nocturne__z.mid")
    recipe = Recipe(excerpts=1, exclude=(str(evaluated),), training=QUICK)
    report = train_encoder(midi, tmp_path / "out", recipe)
    left_out = [path for path, reason in report["skipped"].items() if "evaluated" in reason]
    assert sorted(path.rsplit("/", 1)[1] for path in left_out) == ["one__a.mid", "untitled__b.mid"]
    assert "one__a" not in HeardWorks.load(tmp_path / "out" / WORKS).performances


def test_a_single_work_is_a_clear_error(midi, tmp_path):
    single = tmp_path / "single"
    single.mkdir()
    (single / "one__a.mid").write_bytes((midi / "one__a.mid").read_bytes())
    with pytest.raises(EncoderError, match="several works"):
        train_encoder(single, tmp_path / "out", Recipe(excerpts=1, training=QUICK))
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


def test_the_command_says_what_it_trained_on(midi, tmp_path):
    options = ["--steps", "1", "--excerpts", "1", "--batch", "1"]
    found = CliRunner().invoke(cli, ["train-encoder", str(midi), str(tmp_path), *options])
    assert found.exit_code == 0, found.output
    assert "5 files of 4 works, 1 skipped" in found.output
    assert "on 1 works held out: onset_f" in found.output
