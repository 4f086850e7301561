"""Inner loops compiled by Numba, for those of mixing and of counting detections."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compiled once for all processes, or for this one where no folder can be written to keep it in."""
    function = inspect.unwrap(function)  # of what checks the arguments in tests
    try:
        return cast("Function", numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast("Function", numba.njit(nogil=True)(function))
