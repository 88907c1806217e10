"""Notes from audio, for recordings without MIDI.

`transkun` transcribes one recording with a published model (Yan and Duan, ISMIR 2024);
`transcribed_tracks` transcribes the tracks of a library and stores the notes beside them.
"""

from mess_core.transcription.transcribed_tracks import transcribe_tracks
from mess_core.transcription.transkun import Transcriber

__all__ = ["Transcriber", "transcribe_tracks"]
