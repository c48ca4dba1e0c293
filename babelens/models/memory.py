"""Memory: what the allocator of the process does with what tensors gave back, and how it says that none is left."""

import ctypes
import sys

import torch

# The parameters M_TRIM_THRESHOLD and M_MMAP_MAX of mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = -1


def keep_freed_memory() -> bool:
    """Let freed memory stay with the process, ready for the next step; returns whether that could be asked for.

    A step frees all that it made, and glibc gives large pieces back to the system, which must then clear their pages
    anew in every step. The most memory that the process held over steps of 2M-NER did not grow by it; it holds it to
    its end. Only glibc can be asked; on other systems nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of a GPU or of the machine."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(sign in str(error) for sign in ("can't allocate memory", "not enough memory", "ALLOC_FAILED"))
