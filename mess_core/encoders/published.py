"""Published weights of encoders: where they are, their licence, and their size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PUBLISHED", "Published"]


@dataclass(frozen=True)
class Published:
    """Published weights.

    Attributes
    ----------
    family, repository, licence : str
        The repository is on the Hugging Face hub.
    revision : str or None
        Commit that is loaded; None where none has been checked, so that the newest is, and its
        commit becomes part of the encoder's name.
    config : mapping
        Fields of the configuration that differ from the defaults of its class: the published size,
        for ``untrained:<name>``.
    preprocessor : mapping
        The same of ``preprocessor_config.json``.
    """

    family: str
    repository: str
    licence: str
    revision: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    preprocessor: Mapping[str, Any] = field(default_factory=dict)

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return "-NC" in self.licence


_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
    "conv_bias": True,
}
_SCALED = {"do_normalize": True, "sampling_rate": 16_000}
_RAW = {"do_normalize": False, "sampling_rate": 16_000}

PUBLISHED = {
    "mert-v1-95m": Published(
        "mert",
        "m-a-p/MERT-v1-95M",
        "CC-BY-NC-4.0",
        "12af15fef9d0ac838c3f475bfbbf26d2060dd4f5",
    ),
    "mert-v1-330m": Published(
        "mert",
        "m-a-p/MERT-v1-330M",
        "CC-BY-NC-4.0",
        "af10da70c94a0c849de9cc94b83e12769c4db499",
    ),
    "mert-v2-30s": Published(
        "mert-v2",
        "m-a-p/MERT-v2-30s",
        "CC-BY-NC-4.0",
        "12130d22fd947c24b0299c9368900fb06a608512",
    ),
    "mert-v2-fullsong": Published(
        "mert-v2",
        "m-a-p/MERT-v2-FullSong",
        "CC-BY-NC-4.0",
        "d8ba1c745e733b3908ce6ad16ebeb17ac7600a42",
    ),
    "muq": Published("muq", "OpenMuQ/MuQ-large-msd-iter", "CC-BY-NC-4.0"),
    "musicfm": Published("musicfm", "minzwon/MusicFM", "MIT"),
    "music2vec-v1": Published(
        "data2vec", "m-a-p/music2vec-v1", "CC-BY-NC-4.0", preprocessor=_SCALED
    ),
    "data2vec-base": Published(
        "data2vec", "facebook/data2vec-audio-base", "Apache-2.0", preprocessor=_SCALED
    ),
    "hubert-base": Published(
        "hubert", "facebook/hubert-base-ls960", "Apache-2.0", preprocessor=_SCALED
    ),
    "hubert-large": Published(
        "hubert",
        "facebook/hubert-large-ll60k",
        "Apache-2.0",
        config=_LARGE,
        preprocessor=_SCALED,
    ),
    "wav2vec2-base": Published(
        "wav2vec2", "facebook/wav2vec2-base", "Apache-2.0", preprocessor=_SCALED
    ),
    "wavlm-base-plus": Published(
        "wavlm", "microsoft/wavlm-base-plus", "see its model card", preprocessor=_RAW
    ),
    "ast": Published("ast", "MIT/ast-finetuned-audioset-10-10-0.4593", "BSD-3-Clause"),
    "audiomae": Published(
        "audiomae", "gaunernst/vit_base_patch16_1024_128.audiomae_as2m", "CC-BY-4.0"
    ),
    "whisper-small": Published(
        "whisper",
        "openai/whisper-small",
        "Apache-2.0",
        config={
            "d_model": 768,
            "encoder_layers": 12,
            "encoder_attention_heads": 12,
            "encoder_ffn_dim": 3072,
            "decoder_layers": 1,  # not run
        },
    ),
    "clap-htsat-unfused": Published("clap", "laion/clap-htsat-unfused", "Apache-2.0"),
    "encodec-24khz": Published("encodec", "facebook/encodec_24khz", "see its model card"),
    "dac-44khz": Published(
        "dac",
        "descript/dac_44khz",
        "MIT",
        config={
            "downsampling_ratios": [2, 4, 8, 8],
            "sampling_rate": 44_100,
            "codebook_dim": 8,
        },
        preprocessor={"sampling_rate": 44_100},
    ),
}
"""Weights on the Hugging Face hub, by the name that MESS gives them."""
