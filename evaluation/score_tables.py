"""The tsv files in which frame scores are kept: `onset offset LABEL...`, windows without gaps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from manifests.errors import FlamError

TIMES = ["onset", "offset"]


def read_table(path: Path, labels: list[str] | None) -> pd.DataFrame:
    """A table of these labels, or of any if None; raises FlamError for what is none."""
    try:
        table = pd.read_csv(path, sep="\t", keep_default_na=False)
    except (OSError, ValueError) as error:
        raise FlamError(f"cannot read {path}: {error}") from None
    columns = table.columns.tolist()
    if columns[:2] != TIMES or len(columns) < 3 or not len(table):
        raise FlamError(f"{path} is no score table: its columns must be onset, offset and labels, with a line a window")
    if labels is not None and columns[2:] != labels:
        raise FlamError(f"{path} has other labels than the first table; each must have the same columns")
    return table


def table_edges(path: Path, table: pd.DataFrame) -> Float[np.ndarray, " edge"]:
    """Where the windows begin and end, in seconds; raises FlamError unless each begins where the last one ended."""
    onsets, offsets = (numbers(path, table, name) for name in TIMES)
    if not (offsets[:-1] == onsets[1:]).all() or not (offsets > onsets).all():
        raise FlamError(f"{path}: each window must begin where the one before it ends, and have a length")
    return np.append(onsets, offsets[-1])


def table_scores(path: Path, table: pd.DataFrame, labels: Sequence[str]) -> Float[np.ndarray, "window label"]:
    """The scores of some labels; raises FlamError if one is no number."""
    try:
        found: Float[np.ndarray, "window label"] = table[list(labels)].to_numpy(np.float64)
    except ValueError as error:
        raise FlamError(f"{path}: {error}; scores are numbers") from None
    return found


def numbers(path: Path, table: pd.DataFrame, column: str) -> Float[np.ndarray, " row"]:
    """A column of seconds; raises FlamError with the line of one that is no number."""
    found: Float[np.ndarray, " row"] = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        line = int(table.index[bad[0]]) + 2
        raise FlamError(f"{path}:{line}: {column} is {table[column].iloc[bad[0]]!r}, no number of seconds")
    return found


def some(names: list[str]) -> str:
    """Names for a message: the first three, and how many more."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
