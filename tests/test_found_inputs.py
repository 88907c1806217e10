"""Inputs that `benchmarks/fuzz.py` found: each is read, or refused with an error of MESS's own."""

import base64
import contextlib
import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from mess_core.audio import audio_info, load_audio
from mess_core.errors import JudgementError, MessError
from mess_core.judgements.responses import Response
from mess_core.midi.reading import read_performance

FOUND = {
    target: [base64.b64decode(one) for one in inputs]
    for target, inputs in json.loads(
        (Path(__file__).parent / "fixtures/found_inputs.json").read_text()
    ).items()
}


@pytest.mark.parametrize("content", FOUND["midi"], ids=count())
def test_midi(content, tmp_path):
    path = tmp_path / "a.mid"
    path.write_bytes(content)
    with contextlib.suppress(MessError):
        found = read_performance(path)
        assert (np.diff(found.onset_s) >= 0).all()
        assert (found.offset_s > found.onset_s).all()
        assert np.isfinite(found.offset_s).all()


@pytest.mark.parametrize("content", FOUND["audio"], ids=count())
def test_audio(content, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with contextlib.suppress(MessError):
        assert audio_info(path).duration_s >= 0
    with contextlib.suppress(MessError):
        wave = load_audio(path)
        assert wave.size
        assert np.isfinite(wave).all()


@pytest.mark.parametrize("content", FOUND["answers"], ids=count())
def test_answers(content):
    try:
        record = json.loads(content)
    except ValueError:
        return
    with contextlib.suppress(JudgementError):
        assert Response.from_record(record).shown in ("left", "right")
