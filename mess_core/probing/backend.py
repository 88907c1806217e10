"""Linear algebra through the array API: NumPy and SciPy on the CPU, or torch on a GPU."""

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
    """Return a device name after checking that the device is available.

    "cpu" computes with NumPy; "cuda", "cuda:1" and "torch-cpu" with torch.

    Raises
    ------
    ProbingError
        If the device is not available.
    """
    if device in {"cpu", "torch-cpu"}:
        return device
    import torch

    if device.split(":")[0] != "cuda" or not torch.cuda.is_available():
        raise ProbingError(
            f"no device {device!r} is available for probing",
            remedy="Use 'cpu', or 'cuda' if torch finds a GPU",
        )
    return device


def array_for(values: Any, device: str) -> Any:
    """Return `values` as a float64 array on a device accepted by `resolve_device`."""
    if device == "cpu":
        return np.asarray(values, dtype=np.float64)
    import torch

    return torch.as_tensor(
        np.asarray(values, dtype=np.float64), device=device.removeprefix("torch-")
    )


def namespace(array: Any) -> Any:
    """Return the array API namespace of a NumPy array or torch tensor (array-api-compat)."""
    from array_api_compat import array_namespace

    return array_namespace(array)


def device_of(array: Any) -> Any:
    """Return the device of an array (array-api-compat)."""
    from array_api_compat import device

    return device(array)


def to_numpy(array: Any) -> Floats:
    """Return a NumPy array, copied to host memory if needed."""
    if isinstance(array, np.ndarray):
        return array
    host: Floats = array.detach().cpu().numpy()
    return host
