"""What the NVIDIA driver is asked without torch: how many GPUs there are, and to keep memory where it is."""

from __future__ import annotations

import ctypes
import sys
import weakref

import numpy as np
from numpy.typing import NDArray


def cuda_devices() -> int:
    """Count the GPUs that the NVIDIA driver shows to this process.

    ONNX Runtime cannot say it: its CUDA build lists the CUDA provider on machines without a GPU too.
    """
    driver = _driver()
    count = ctypes.c_int(0)
    if driver is None or driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def lock_pages(buffer: NDArray[np.uint8]) -> bool:
    """Pin a buffer, so that a GPU fetches it without a copy in between; it is let go when the array is.

    This thread must have used the GPU already: its context is the one that the buffer is pinned for.

    Args:
        buffer: contiguous, and its own memory.
    Returns:
        Whether it is pinned; without a driver, a context, or memory that may be pinned it is not.
    """
    driver = _driver()
    address = ctypes.c_void_p(buffer.ctypes.data)
    if driver is None or driver.cuMemHostRegister_v2(address, ctypes.c_size_t(buffer.nbytes), 0) != 0:
        return False
    weakref.finalize(buffer, driver.cuMemHostUnregister, address)
    return True


def _driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
