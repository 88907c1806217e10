"""Every family: states of the reference, strict reading of weights, windows, controls."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
import transformers
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from transformers.utils import logging

from mess_core.cli import cli
from mess_core.encoders import load_encoder
from mess_core.encoders.collapse import COLLAPSED, clip_similarity
from mess_core.encoders.control import load_control
from mess_core.encoders.families import FAMILIES
from mess_core.encoders.loading import pick_dtype
from mess_core.encoders.native import quiet
from mess_core.encoders.published import PUBLISHED
from mess_core.encoders.registry import find_encoder
from mess_core.encoders.speed import measured_choices
from mess_core.errors import EncoderError

GOLDEN = Path(__file__).with_name("golden")
WRITTEN = ("muq", "musicfm", "mert-v2", "audiomae")
TOLERANCE = 1e-4

_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
_WAVES = {
    **_SIZES,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
_STABLE = {**_WAVES, "do_stable_layer_norm": True, "feat_extract_norm": "layer"}
_SCALED = {"do_normalize": True, "sampling_rate": 16_000}
_CLAP = {
    "audio_config": {
        "patch_embeds_hidden_size": 16,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "hidden_size": 32,
        "num_hidden_layers": 2,
    },
    "text_config": {**_SIZES, "vocab_size": 50},
}
# Family, the class that its weights are published in, configuration, preprocessor.
NATIVE = {
    "hubert": ("hubert", "HubertModel", _WAVES, _SCALED),
    "hubert-stable": ("hubert", "HubertForCTC", _STABLE, _SCALED),
    "wav2vec2": ("wav2vec2", "Wav2Vec2ForPreTraining", _WAVES, _SCALED),
    "wavlm": ("wavlm", "WavLMModel", _WAVES, {**_SCALED, "do_normalize": False}),
    "data2vec": ("data2vec", "Data2VecAudioModel", _WAVES, _SCALED),
    "ast": ("ast", "ASTForAudioClassification", {**_SIZES, "max_length": 1024}, {}),
    "whisper": (
        "whisper",
        "WhisperForConditionalGeneration",
        {
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 1,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "vocab_size": 60,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
        },
        {"sampling_rate": 16_000},
    ),
    "clap": ("clap", "ClapModel", _CLAP, {"sampling_rate": 48_000}),
    "encodec": ("encodec", "EncodecModel", {"num_filters": 4, "hidden_size": 16}, {}),
    "dac": (
        "dac",
        "DacModel",
        {"encoder_hidden_size": 4, "decoder_hidden_size": 32, "downsampling_ratios": [2, 4, 8, 8]},
        {"sampling_rate": 44_100},
    ),
}
LOADED = (*NATIVE, *WRITTEN)


def published(name, folder):
    """Write random weights as the class that is published saves them."""
    if name in WRITTEN:
        shutil.copytree(GOLDEN / name, folder)
        return folder
    family, model, config, preprocessor = NATIVE[name]
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(7)
        kind = getattr(transformers, model)
        made = kind(kind.config_class(**config)).eval()
        if family in (
            "encodec",
            "dac",
        ):  # their random weights are too small to let a sound through
            for weight in made.parameters():
                if weight.ndim > 1 and weight.shape[1:].numel() > 1:
                    weight.data.normal_(std=weight.shape[1:].numel() ** -0.5)
                elif weight.ndim > 1:
                    weight.data.fill_(1.5)
        made.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    assert find_encoder(folder).family.name == family
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    logging.disable_progress_bar()
    root = tmp_path_factory.mktemp("published")
    return {name: published(name, root / name) for name in LOADED}


def wave(encoder, seconds=2.0, seed=0):
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * encoder.sample_rate)) / encoder.sample_rate
    tone = 0.2 * np.sin(2 * np.pi * (200 + 50 * seed) * time_s) * np.exp(-time_s)
    return (tone + 0.02 * rng.standard_normal(len(time_s))).astype(np.float32)


@pytest.mark.parametrize("name", WRITTEN)
def test_states_equal_those_of_the_reference_code(name):
    encoder = load_encoder(GOLDEN / name, device="cpu")
    states = encoder.hidden_states(np.load(GOLDEN / name / "wave.npy"))
    reference = np.load(GOLDEN / name / "states.npy")
    assert states.shape == reference.shape
    assert np.abs(states - reference).max() < TOLERANCE


@pytest.mark.parametrize("name", ["hubert", "hubert-stable", "wav2vec2", "wavlm", "data2vec"])
def test_states_of_waves_equal_those_of_the_published_class(name, folders):
    _, model, _, preprocessor = NATIVE[name]
    encoder = load_encoder(folders[name], device="cpu")
    sound = wave(encoder)
    extractor = transformers.Wav2Vec2FeatureExtractor(**preprocessor)
    with quiet():
        whole = getattr(transformers, model).from_pretrained(folders[name]).eval()
    base = getattr(whole, whole.base_model_prefix, whole)
    given = extractor(sound, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        out = base(given, output_hidden_states=True)
    compare(encoder, encoder.hidden_states(sound), out)


def compare(encoder, states, out):
    """Compare with what the class returns: its last hidden state follows the final norm."""
    last = out.last_hidden_state[0].numpy()
    assert np.abs(states[-1] - last).max() < TOLERANCE
    blocks = encoder.num_layers - 1 - (encoder.state_names[-1] == "final norm")
    for layer in range(blocks):
        assert np.abs(states[layer] - out.hidden_states[layer][0].numpy()).max() < TOLERANCE
    assert encoder.state_names[:2] == ("input", "block 1")


def test_states_of_whisper_are_those_of_the_frames_with_sound(folders):
    encoder = load_encoder(folders["whisper"], device="cpu")
    sound = wave(encoder, 3.0)
    with quiet():
        model = transformers.WhisperModel.from_pretrained(folders["whisper"]).eval()
    given = transformers.WhisperFeatureExtractor()(sound, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        out = model.get_encoder()(given.input_features, output_hidden_states=True)
    states = encoder.hidden_states(sound)
    assert states.shape == (4, 150, 32)
    np.testing.assert_allclose(states[-1], out.last_hidden_state[0, :150].numpy(), atol=TOLERANCE)
    np.testing.assert_allclose(states[1], out.hidden_states[1][0, :150].numpy(), atol=TOLERANCE)


def test_states_of_ast_are_averaged_over_frequency_and_end_with_the_sound(folders):
    encoder = load_encoder(folders["ast"], device="cpu")
    sound = wave(encoder, 3.0)
    with quiet():
        model = transformers.ASTModel.from_pretrained(folders["ast"]).eval()
    given = transformers.ASTFeatureExtractor()(sound, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        out = model(given.input_values, output_hidden_states=True)
    patches = out.last_hidden_state[0, 2:].reshape(12, 101, 32).mean(dim=0)
    states = encoder.hidden_states(sound)
    assert states.shape == (4, 29, 32)  # 298 mel frames: (298 - 16) // 10 + 1
    np.testing.assert_allclose(states[-1], patches[:29].numpy(), atol=TOLERANCE)


def test_states_of_clap_are_means_over_the_grid_of_each_stage(folders):
    encoder = load_encoder(folders["clap"], device="cpu")
    sound = wave(encoder, 3.0)
    with quiet():
        model = transformers.ClapModel.from_pretrained(folders["clap"]).eval()
    extractor = transformers.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad")
    given = extractor(sound, sampling_rate=48_000, return_tensors="pt")
    with torch.no_grad():
        out = model.audio_model.audio_encoder(given.input_features, output_hidden_states=True)
    states = encoder.hidden_states(sound)
    assert states.shape == (3, 1, 32)
    widths = [16, 32, 32]
    for layer, width in enumerate(widths):
        expected = (
            out.hidden_states[layer].flatten(2).mean(dim=-1)[0]
            if (out.hidden_states[layer].ndim == 4)
            else out.hidden_states[layer].mean(dim=1)[0]
        )
        np.testing.assert_allclose(states[layer, 0, :width], expected.numpy(), atol=TOLERANCE)
        assert not states[layer, 0, width:].any()


@pytest.mark.parametrize(("name", "model"), [("encodec", "EncodecModel"), ("dac", "DacModel")])
def test_the_state_of_a_codec_is_its_latent(name, model, folders):
    encoder = load_encoder(folders[name], device="cpu")
    sound = wave(encoder)
    with quiet():
        whole = getattr(transformers, model).from_pretrained(folders[name]).eval()
    with torch.no_grad():
        latent = whole.encoder(torch.from_numpy(sound)[None, None])
    states = encoder.hidden_states(sound)
    assert encoder.state_names == ("latent",)
    np.testing.assert_allclose(states[0], latent[0].T.numpy(), atol=TOLERANCE)


@pytest.mark.parametrize("name", LOADED)
def test_pooled_vectors_depend_on_neither_batch_nor_order(name, folders):
    alone = load_encoder(folders[name], device="cpu", window_s=2.0, hop_s=2.0, batch_size=1)
    together = load_encoder(folders[name], device="cpu", window_s=2.0, hop_s=2.0, batch_size=4)
    first, second = wave(alone, 2.0, seed=1), wave(alone, 2.0, seed=2)
    there = together.embed(np.concatenate([first, second])).segments
    back = together.embed(np.concatenate([second, first])).segments
    each = np.stack([alone.embed(first).segments[0], alone.embed(second).segments[0]])
    scale = np.abs(each).max()
    assert np.abs(there - each).max() < 1e-4 * scale
    assert np.abs(back - each[::-1]).max() < 1e-4 * scale
    assert np.abs(each[0] - each[1]).max() > 1e-3 * scale


@pytest.mark.parametrize("name", LOADED)
def test_level_survives_where_the_record_says_so(name, folders):
    encoder = load_encoder(folders[name], device="cpu")
    sound = wave(encoder)
    loud, soft = (encoder.embed(gain * sound).track for gain in (1.0, 0.25))
    change = np.linalg.norm(loud - soft) / np.linalg.norm(loud)
    keeps = find_encoder(folders[name]).family.keeps_level or not encoder.do_normalize
    assert (change > 1e-3) == keeps


@pytest.mark.parametrize("name", LOADED)
def test_only_the_requested_states_are_returned(name, folders):
    whole = load_encoder(folders[name], device="cpu")
    sound = wave(whole)
    wanted = sorted({0, whole.num_layers - 1})
    part = load_encoder(folders[name], device="cpu", layers=wanted)
    expected = whole.hidden_states(sound)[wanted]
    np.testing.assert_allclose(part.hidden_states(sound), expected, atol=TOLERANCE)


def altered(name, folders, tmp_path, change):
    """Return a copy of a folder whose weights `change` has altered."""
    folder = tmp_path / "model"
    shutil.copytree(folders[name], folder)
    path = next(iter([*folder.glob("*.safetensors"), *folder.glob("*.pt")]))
    pickled = path.suffix == ".pt"
    state = dict(torch.load(path, weights_only=True)["state_dict"] if pickled else load_file(path))
    change(state, [key for key in state if _is_run(key, state[key])])
    if pickled:
        torch.save({"state_dict": state}, path)
    else:
        save_file(state, path, metadata={"format": "pt"})
    return folder


def _is_run(key, value):
    """Return whether a weight is a matrix, not square, of a block or a convolution that is run."""
    unused = ("decoder", "quantizer", "text_", "lm_head", "project", "pos_conv", "classifier")
    inner = any(part in key for part in ("layers.", "layer.", "blocks.", "conv"))
    wide = value.ndim >= 2 and value.shape[0] != value.shape[1]
    return wide and inner and not any(part in key for part in unused)


@pytest.mark.parametrize("name", LOADED)
def test_a_missing_weight_is_refused_by_name(name, folders, tmp_path):
    lost = []

    def change(state, keys):
        lost.append(keys[0])
        del state[keys[0]]

    folder = altered(name, folders, tmp_path, change)
    with pytest.raises(EncoderError, match="does not fit") as error:
        load_encoder(folder, device="cpu")
    leaf = lost[0].rsplit(".", 1)[-1]
    assert "issing" in str(error.value)
    assert leaf in str(error.value) or "original" in str(error.value)


@pytest.mark.parametrize("name", LOADED)
def test_a_transposed_weight_is_refused(name, folders, tmp_path):
    def change(state, keys):
        state[keys[0]] = state[keys[0]].transpose(0, 1).contiguous()

    with pytest.raises(EncoderError, match=r"does not fit|cannot be read"):
        load_encoder(altered(name, folders, tmp_path, change), device="cpu")


@pytest.mark.parametrize("name", LOADED)
def test_an_unexpected_weight_is_refused(name, folders, tmp_path):
    def change(state, keys):
        state["surprise.weight"] = torch.zeros(2)

    with pytest.raises(EncoderError, match="surprise"):
        load_encoder(altered(name, folders, tmp_path, change), device="cpu")


@pytest.mark.parametrize("name", [one for one in LOADED if one not in ("musicfm", "audiomae")])
def test_weights_of_another_size_are_refused(name, folders, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(folders[name], folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for field in ("intermediate_size", "encoder_ffn_dim", "num_filters", "encoder_hidden_size"):
        if field in config:
            config[field] *= 2
    if "w2v2_config" in config:
        config["w2v2_config"]["intermediate_size"] *= 2
    if name == "clap":
        config["audio_config"]["patch_embeds_hidden_size"] *= 2
    path.write_text(json.dumps(config))
    with pytest.raises(EncoderError, match="does not fit"):
        load_encoder(folder, device="cpu")


class _Code:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize("name", LOADED)
def test_a_pickle_with_code_is_refused_and_not_run(name, folders, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(folders[name], folder)
    for one in [*folder.glob("*.safetensors"), *folder.glob("*.pt")]:
        one.unlink()
    file = "pretrained_msd.pt" if name == "musicfm" else "pytorch_model.bin"
    torch.save({"weight": _Code()}, folder / file)
    with pytest.raises(EncoderError, match="cannot be read as plain weights"):
        load_encoder(folder, device="cpu")
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("name", LOADED)
def test_the_untrained_counterpart_has_the_same_architecture(name, folders):
    encoder = load_encoder(folders[name], device="cpu")
    control, again = load_control(encoder), load_control(encoder)
    assert control.architecture == encoder.architecture
    assert control.name == again.name
    sound = wave(encoder)
    states = control.hidden_states(sound)
    np.testing.assert_array_equal(states, again.hidden_states(sound))
    assert states.shape == encoder.hidden_states(sound).shape
    trained = encoder.hidden_states(sound)
    assert np.abs(states - trained).max() > 1e-3 * np.abs(trained).max()


def test_a_window_longer_than_the_model_takes_is_refused(folders):
    with pytest.raises(EncoderError, match=r"at most 10\.24 s, not 15 s"):
        load_encoder(folders["ast"], device="cpu", window_s=15.0)


def test_an_unknown_type_of_model_is_refused_with_those_that_are_known(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(EncoderError, match=r"'bert'.*Known types: .*hubert"):
        load_encoder(tmp_path, device="cpu")


def test_an_encoder_that_hears_nothing_is_noticed(folders, tmp_path, caplog):
    def change(state, keys):
        for key in state:
            if "feature_projection.projection.weight" in key:
                state[key] = torch.zeros_like(state[key])

    load_encoder(altered("wav2vec2", folders, tmp_path, change), device="cpu")
    assert "almost the same states for different sounds" in caplog.text


def test_doctor_checks_an_encoder(folders):
    result = CliRunner().invoke(cli, ["doctor", "--encoder", str(folders["wavlm"])])
    assert result.exit_code == 0, result.output
    assert "all tensors present" in result.output
    assert "s of audio per second" in result.output
    assert CliRunner().invoke(cli, ["doctor", "--encoder", "nobody"]).exit_code == 1


@pytest.mark.parametrize("name", LOADED)
def test_cheaper_choices_of_every_family_run_and_their_errors_are_measured(name, folders, tmp_path):
    path = tmp_path / "sound.wav"
    sf.write(path, wave(load_encoder(folders[name], device="cpu"), seconds=8.0), 24_000)
    plain, *others = measured_choices(str(folders[name]), path, device="cpu")
    assert (plain.setting, plain.error) == ("", 0.0)
    half = [one for one in others if "bfloat16" in one.setting and "hop_s" not in one.setting]
    assert len(half) == find_encoder(folders[name]).family.half
    assert all(one.seconds > 0 and 0 <= one.error < 1.5 for one in others)
    if name in {"ast", "clap", "mert-v2", "audiomae"}:  # not collapsed by their random weights
        assert half[0].error < 0.02


def test_doctor_warns_of_a_choice_that_changes_vectors(folders):
    found = CliRunner().invoke(cli, ["doctor", "--encoder", str(folders["hubert"]), "--json"])
    remedies = [one["remedy"] for one in json.loads(found.output) if one["subject"] == "or with"]
    assert "do not use MESS_DTYPE=bfloat16" in remedies


def test_every_published_name_can_be_built_untrained_and_has_a_licence():
    for name, one in PUBLISHED.items():
        assert one.family in FAMILIES
        assert one.licence
        assert find_encoder(name).folder() == name
        if one.family != "mert":
            assert find_encoder(f"untrained:{name}").size == name


def test_the_trained_encoder_in_the_package_has_not_collapsed():
    similarity = clip_similarity(load_encoder("mess-piano", device="cpu"))
    assert similarity.min() < COLLAPSED


def test_samples_are_scaled_unless_the_folder_says_otherwise(folders, tmp_path):
    """As Wav2Vec2FeatureExtractor does where ``do_normalize`` is not given."""
    folder = tmp_path / "model"
    shutil.copytree(folders["hubert"], folder)
    (folder / "preprocessor_config.json").write_text('{"sampling_rate": 16000}')
    assert load_encoder(folder, device="cpu").do_normalize
    assert transformers.Wav2Vec2FeatureExtractor().do_normalize
    assert not load_encoder(folders["encodec"], device="cpu").do_normalize


def test_float16_is_chosen_on_cuda_only_where_the_family_allows_it():
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert pick_dtype("auto", cuda, half=FAMILIES["mert"].half) == torch.float16
    assert pick_dtype("auto", cuda, half=FAMILIES["muq"].half) == torch.float32
    assert pick_dtype("auto", cpu) == torch.float32
    assert pick_dtype("float16", cuda, half=False) == torch.float16


def test_doctor_compares_a_download_with_the_hash_of_the_hub(folders, tmp_path, monkeypatch):
    """As the Hugging Face cache lays it out: links to blobs that are named by their hash."""
    commit = "a" * 40
    snapshot, blobs = tmp_path / "snapshots" / commit, tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in folders["wav2vec2"].iterdir():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, blobs / digest)
        (snapshot / file.name).symlink_to(blobs / digest)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(snapshot))
    sound = CliRunner().invoke(cli, ["doctor", "--encoder", "wav2vec2-base"])
    assert sound.exit_code == 0, sound.output
    assert "SHA-256 as the hub gives it" in " ".join(sound.output.split())
    assert f"wav2vec2-base@{commit[:12]}" in sound.output
    weights = snapshot / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.resolve().write_bytes(content)
    damaged = CliRunner().invoke(cli, ["doctor", "--encoder", "wav2vec2-base"])
    assert damaged.exit_code == 1
    assert "is damaged" in " ".join(damaged.output.split())
