"""Windows do not depend on the block size of the stream."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mess_core.encoders.windows import stream_windows, window_starts
from mess_core.errors import EncoderError

sizes = st.integers(1, 40)


@settings(deadline=None, max_examples=200)
@given(
    samples=st.integers(1, 200),
    window=sizes,
    hop=sizes,
    cuts=st.lists(st.integers(1, 60), max_size=12),
)
def test_streamed_windows_equal_those_of_the_whole(samples, window, hop, cuts):
    hop = min(hop, window)
    wave = np.arange(samples, dtype=np.float32)
    blocks = np.split(wave, sorted({min(cut, samples) for cut in np.cumsum(cuts)} - {samples}))
    got = list(stream_windows(blocks, window, hop))
    starts = window_starts(samples, window, hop)
    assert [start for start, _ in got] == starts
    for start, part in got:
        np.testing.assert_array_equal(part, wave[start : start + window])
    covered = np.zeros(samples, dtype=bool)
    for start, part in got:
        covered[start : start + len(part)] = True
    assert covered.all()
    assert len({len(part) for _, part in got}) == 1


@pytest.mark.parametrize(("window", "hop"), [(0, 1), (5, 0), (-1, 1)])
def test_impossible_windows_are_refused(window, hop):
    with pytest.raises(EncoderError):
        window_starts(10, window, hop)
