"""Decode audio files to mono float32 at one sample rate, and tell incomplete files.

`decoding` is what the rest of MESS uses; `containers` finds files that are cut off, `mp3` and
`spliced` give libsndfile what files without a stated length lack.
"""

from mess_core.audio.decoding import (
    AUDIO_SUFFIXES,
    OTHER_AUDIO_SUFFIXES,
    SAMPLE_RATE,
    AudioInfo,
    audio_info,
    file_sha256,
    load_audio,
    load_passage,
    stream_audio,
)

__all__ = [
    "AUDIO_SUFFIXES",
    "OTHER_AUDIO_SUFFIXES",
    "SAMPLE_RATE",
    "AudioInfo",
    "audio_info",
    "file_sha256",
    "load_audio",
    "load_passage",
    "stream_audio",
]
