"""Families of encoder architectures: facts about each, as records.

This module loads no model and no PyTorch. Sources: the papers that each record names, and the
classes of transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mess_core.environment import PIANO

__all__ = [
    "FAMILIES",
    "PIANO_FOLDER",
    "PIANO_WEIGHTS",
    "SETTINGS",
    "Family",
]

SETTINGS: dict[str, Any] = {
    "window_s": 5.0,
    "hop_s": 2.5,
    "normalise": "window",
    "pooling": "mean",
}
"""Settings of `EncoderSettings` that change vectors, with the defaults of most families."""

PIANO_FOLDER = Path(__file__).with_name("weights")
"""Folder of the weights in the package."""

PIANO_WEIGHTS = "mess-piano.safetensors"
"""File of the weights, in the package and in a folder that ``mess train-encoder`` writes."""

_NATIVE = "mess_core.encoders.native"
_CONFIG = ("config.json",)
_BOTH = ("config.json", "preprocessor_config.json")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Family:
    """An architecture, and how MESS reads and runs it.

    State 0 is the input of block 1, state i the output of block i, before any norm that follows
    the last block; that norm's output is a state of its own. Codecs have one state, their latent.

    Attributes
    ----------
    name : str
    module : str
        Module with ``open_folder(folder, family)`` and ``untrained(family, architecture, seed)``,
        which return a `Checkpoint`.
    files : tuple of str
        Files besides the weights that a folder of this family contains.
    weights : tuple of str
        Names of the file of weights; the first one found is read.
    settings : mapping
        Defaults that differ from `SETTINGS`.
    model_types : tuple of str
        ``model_type`` in ``config.json`` of such folders.
    model : str
        Class of transformers whose published weights are loaded.
    part : str
        Attribute path of the part that is run; empty for all of it.
    blocks : str
        Attribute path in that part of the list of blocks; empty for a codec.
    final_norm : str
        Attribute path in that part of the norm after the last block.
    final_norm_if : str
        Field of the configuration that must be true for that norm to follow the blocks.
    front_end : {"wave", "fbank", "whisper", "clap", "own"}
        What turns samples into the input of the model.
    tokens : {"time", "patches", "grid", "channels"}
        How tokens lie in time: one per frame; patches of time and frequency, averaged over
        frequency; a grid of both, averaged over all; or a latent [channels, frames].
    unused : tuple of str
        Regular expressions of published weights that belong to parts MESS does not run.
    sample_rate : int
        Sample rate of the input in Hz, unless a file of the folder says otherwise.
    samples_per_frame : int
        Samples from one frame of states to the next; 0 if the states have no time axis.
    shortest : int
        Samples that a wave needs at least.
    longest_s : float or None
        Longest window in seconds; None if any length is allowed.
    padded : bool
        Whether shorter windows are padded to a fixed length; states of the padding are dropped.
    equal_lengths : bool
        Whether waves of different lengths would change each other's states in one batch.
        `Encoder.embed` never pads, so this is about other uses of the model.
    keeps_level : bool
        Whether the absolute level of the recording reaches the model.
    half : bool
        Whether "auto" may choose float16 on CUDA; MuQ has been reported to give NaN.
    attention : str
        ``attn_implementation`` of transformers.
    source : str
        Paper.
    """

    name: str
    module: str = _NATIVE
    files: tuple[str, ...] = _BOTH
    weights: tuple[str, ...] = _WEIGHTS
    settings: Mapping[str, Any] = field(default_factory=dict)
    model_types: tuple[str, ...] = ()
    model: str = ""
    part: str = ""
    blocks: str = ""
    final_norm: str = ""
    final_norm_if: str = ""
    front_end: str = "wave"
    tokens: str = "time"
    unused: tuple[str, ...] = ()
    sample_rate: int = 16_000
    samples_per_frame: int = 320
    shortest: int = 400
    longest_s: float | None = None
    padded: bool = False
    equal_lengths: bool = True
    keeps_level: bool = False
    half: bool = True
    attention: str = "sdpa"
    source: str = ""

    @property
    def defaults(self) -> dict[str, Any]:
        """All settings that this family uses unless told otherwise."""
        return {**SETTINGS, **self.settings}


def _waveform(name: str, model: str, model_type: str, source: str, **fields: Any) -> Family:
    """Return the record of a model of waves: a convolutional front end, then blocks."""
    return Family(
        name,
        model=model,
        model_types=(model_type,),
        blocks="encoder.layers",
        final_norm="encoder.layer_norm",
        final_norm_if="do_stable_layer_norm",
        # Heads of pre-training and fine-tuning; the published files contain them.
        unused=(
            r"(quantizer|project_q|project_hid|lm_head|final_proj|label_embs_concat|dropout_features)\b",
        ),
        source=source,
        **fields,
    )


_MUSIC: dict[str, Any] = {
    "files": _CONFIG,
    "front_end": "own",
    "sample_rate": 24_000,
    "samples_per_frame": 960,
    "shortest": 1025,  # the spectrogram reflects half a window of 2048
    "keeps_level": True,
    "equal_lengths": False,
}

FAMILIES = {
    one.name: one
    for one in (
        Family(
            PIANO,
            "mess_core.encoders.piano",
            files=(),
            weights=(PIANO_WEIGHTS,),
            settings={"pooling": "mean+std"},
            front_end="own",
            sample_rate=24_000,
            samples_per_frame=1920,
            shortest=2048,
            keeps_level=True,
            source="mess_core/encoders/weights/README.md",
        ),
        Family(
            "mert",
            "mess_core.encoders.mert",
            model_types=("mert_model",),
            model="HubertModel",
            blocks="encoder.layers",
            sample_rate=24_000,
            source="Li et al., ICLR 2024",
        ),
        _waveform("hubert", "HubertModel", "hubert", "Hsu et al., TASLP 2021"),
        _waveform("wav2vec2", "Wav2Vec2Model", "wav2vec2", "Baevski et al., NeurIPS 2020"),
        _waveform("wavlm", "WavLMModel", "wavlm", "Chen et al., JSTSP 2022", attention="eager"),
        _waveform(
            "data2vec",
            "Data2VecAudioModel",
            "data2vec-audio",
            "Baevski et al., ICML 2022; music2vec: Li et al., 2022",
        ),
        Family(
            "ast",
            model_types=("audio-spectrogram-transformer",),
            model="ASTModel",
            blocks="layers",
            final_norm="layernorm",
            front_end="fbank",
            tokens="patches",
            unused=(r"classifier\.",),
            samples_per_frame=1600,
            shortest=2800,  # 16 mel frames: one patch
            longest_s=10.24,
            padded=True,
            equal_lengths=False,
            keeps_level=True,
            source="Gong et al., Interspeech 2021",
        ),
        Family(
            "audiomae",
            "mess_core.encoders.audiomae",
            files=_CONFIG,
            model_types=("vit_base_patch16_1024_128",),
            model="ViTModel",
            blocks="layers",
            final_norm="layernorm",
            front_end="fbank",
            tokens="patches",
            samples_per_frame=2560,
            shortest=2800,
            longest_s=10.24,
            padded=True,
            equal_lengths=False,
            keeps_level=True,
            source="Huang et al., NeurIPS 2022",
        ),
        Family(
            "whisper",
            model_types=("whisper",),
            model="WhisperModel",
            part="encoder",
            blocks="layers",
            final_norm="layer_norm",
            front_end="whisper",
            unused=(r"proj_out\.",),
            longest_s=30.0,
            padded=True,
            equal_lengths=False,
            keeps_level=True,
            source="Radford et al., ICML 2023",
        ),
        Family(
            "clap",
            model_types=("clap",),
            model="ClapModel",
            part="audio_model.audio_encoder",
            blocks="layers",
            front_end="clap",
            tokens="grid",
            sample_rate=48_000,
            samples_per_frame=0,
            shortest=1024,
            longest_s=10.0,
            padded=True,
            equal_lengths=False,
            keeps_level=True,
            attention="eager",
            source="Wu et al., ICASSP 2023",
        ),
        Family(
            "encodec",
            model_types=("encodec",),
            model="EncodecModel",
            part="encoder",
            tokens="channels",
            attention="eager",
            sample_rate=24_000,
            shortest=2400,
            keeps_level=True,
            source="Défossez et al., TMLR 2023",
        ),
        Family(
            "dac",
            model_types=("dac",),
            model="DacModel",
            part="encoder",
            tokens="channels",
            attention="eager",
            sample_rate=44_100,
            samples_per_frame=512,
            shortest=4096,
            keeps_level=True,
            source="Kumar et al., NeurIPS 2023",
        ),
        Family(
            "muq",
            "mess_core.encoders.muq",
            blocks="conformer.layers",
            final_norm="conformer.layer_norm",
            half=False,
            source="Zhu et al., 2025",
            **_MUSIC,
        ),
        Family(
            "musicfm",
            "mess_core.encoders.muq",
            weights=("pretrained_msd.pt",),
            blocks="conformer.layers",
            final_norm="conformer.layer_norm",
            half=False,
            source="Won et al., ICASSP 2024",
            **{**_MUSIC, "files": ("msd_stats.json",)},
        ),
        Family(
            "mert-v2",
            "mess_core.encoders.mert_v2",
            model_types=("mert2",),
            blocks="blocks",
            source="m-a-p, 2026 (model card)",
            **_MUSIC,
        ),
    )
}
"""Families by name."""
