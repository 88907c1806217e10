"""Where the linear algebra runs: NumPy and SciPy, or torch on a GPU, behind the array API."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import ProbingError

__all__ = [
    "array_for",
    "device_of",
    "namespace",
    "resolve_device",
    "to_numpy",
]

Floats = NDArray[np.float64]


def resolve_device(device: str) -> str:
    """Check a device name: "cpu" (NumPy), or one of torch ("cuda", "cuda:1", "torch-cpu").

    Raises
    ------
    ProbingError
        If the device is not there.
    """
    if device in {"cpu", "torch-cpu"}:
        return device
    import torch

    if device.split(":")[0] != "cuda" or not torch.cuda.is_available():
        raise ProbingError(
            f"no device {device!r} to probe on", remedy="Use 'cpu', or 'cuda' where torch has one"
        )
    return device


def array_for(values: Any, device: str) -> Any:
    """`values` as a float64 array on a device of `resolve_device`."""
    if device == "cpu":
        return np.asarray(values, dtype=np.float64)
    import torch

    return torch.as_tensor(
        np.asarray(values, dtype=np.float64), device=device.removeprefix("torch-")
    )


def namespace(array: Any) -> Any:
    """Array API namespace of a NumPy array or torch tensor (array-api-compat)."""
    from array_api_compat import array_namespace

    return array_namespace(array)


def device_of(array: Any) -> Any:
    """Where an array is (array-api-compat)."""
    from array_api_compat import device

    return device(array)


def to_numpy(array: Any) -> Floats:
    """Copy to host memory if needed."""
    if isinstance(array, np.ndarray):
        return array
    host: Floats = array.detach().cpu().numpy()
    return host
