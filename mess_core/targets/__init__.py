"""The 22 proxy targets: musical properties as one number per track."""

from mess_core.targets.aligned import AlignedWork, compute_aligned_targets
from mess_core.targets.proxy_table import collect_proxy_targets, proxy_target_table
from mess_core.targets.registry import TARGETS_VERSION, Curve, Target, targets
from mess_core.targets.tracks import compute_track_targets, targets_from_audio, targets_from_midi

__all__ = [
    "TARGETS_VERSION",
    "AlignedWork",
    "Curve",
    "Target",
    "collect_proxy_targets",
    "compute_aligned_targets",
    "compute_track_targets",
    "proxy_target_table",
    "targets",
    "targets_from_audio",
    "targets_from_midi",
]
