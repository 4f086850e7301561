"""RUN/evaluations/NAME: what an evaluation leaves, and two of them compared."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.markup import escape
from rich.table import Table

from evaluation.bootstrap import Interval, interval
from evaluation.results import TITLES, Evaluation
from manifests.errors import FlamError
from manifests.store import read_json, replacing, write_json

METRICS = "metrics.json"
_FOLDER, _REPLICATES = "evaluations", "replicates.npy"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """An evaluation read back: its metrics.json, and each metric's replicates."""

    folder: Path
    about: Mapping[str, Any]
    replicates: Mapping[str, Float[np.ndarray, " replicate"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """Of a metric: its two values, the second less the first, and 95 % of the replicates of that."""

    first: float
    second: float
    interval: Interval | None

    @property
    def value(self) -> float:
        """The second less the first."""
        return self.second - self.first

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval is not None and not self.interval.low <= 0.0 <= self.interval.high

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        bounds = None if self.interval is None else [self.interval.low, self.interval.high]
        return {"first": self.first, "second": self.second, "difference": self.value, "interval": bounds}


def keep(
    folder: Path,
    evaluation: Evaluation,
    *,
    data: Path,
    limit: int | None,
    baselines: Mapping[str, Mapping[str, float | None]] | None = None,
) -> dict[str, Any]:
    """Write metrics.json and the replicates; returns what metrics.json holds."""
    about = {"data": str(data), "limit": limit, **evaluation.to_dict()}
    if baselines:
        about["baselines"] = {name: dict(values) for name, values in baselines.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / _REPLICATES) as temporary, temporary.open("wb") as file:
        np.save(file, np.stack([metric.replicates for metric in evaluation.metrics.values()]))
    write_json(folder / METRICS, about)
    return about


def load(folder: Path) -> Kept:
    """Read back what `keep` wrote; raises FlamError if it is not whole."""
    about = read_json(folder / METRICS)
    try:
        rows = np.load(folder / _REPLICATES, allow_pickle=False)
        replicates = dict(zip((name for name in TITLES if name in about), rows, strict=True))
    except (OSError, EOFError, ValueError) as error:
        raise FlamError(f"{folder} is not whole ({error}); run `flam-cli evaluate` again") from None
    return Kept(folder=folder, about=about, replicates=replicates)


def evaluation_folders(run: Path, datasets: Sequence[Path], split: str) -> list[Path]:
    """Where evaluations of datasets are kept; raises FlamError for two of one name."""
    names = [f"{path.resolve().name}-{split}" for path in datasets]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise FlamError(f"two datasets are called {datasets[index].resolve().name!r}; evaluate them one by one")
    return [run / _FOLDER / name for name in names]


def compared(first: Path, second: Path) -> dict[str, dict[str, Difference]]:
    """By the name of each evaluation that both runs have, the differences of its metrics."""
    left, right = (
        {path.parent.name: path.parent for path in sorted(run.glob(f"{_FOLDER}/*/{METRICS}"))}
        for run in (first, second)
    )
    for run, found in ((first, left), (second, right)):
        if not found:
            raise FlamError(f"{run} has no evaluations; run `flam-cli evaluate {run} DATA` first")
    common = [name for name in left if name in right]
    if not common:
        raise FlamError(
            f"no dataset was evaluated with both: {first} has {', '.join(left)}, {second} has {', '.join(right)}"
        )
    return {name: differences(load(left[name]), load(right[name])) for name in common}


def differences(first: Kept, second: Kept) -> dict[str, Difference]:
    """Of every metric that both have, replicate by replicate; raises FlamError if they are not of the same clips."""
    for key in ("soundscapes", "limit", "split"):
        if first.about.get(key) != second.about.get(key):
            raise FlamError(
                f"{first.folder} and {second.folder} are of different soundscapes; evaluate both on the same"
            )
    return {
        name: Difference(
            first=first.about[name],
            second=second.about[name],
            interval=interval(
                second.replicates[name] - first.replicates[name], around=second.about[name] - first.about[name]
            ),
        )
        for name in TITLES
        if isinstance(first.about.get(name), float) and isinstance(second.about.get(name), float)
    }


def differences_table(name: str, first: str, second: str, found: Mapping[str, Difference]) -> Table:
    """Two runs side by side; a difference whose interval leaves out 0 is marked."""
    table = Table(title=escape(name), caption="*: the 95 % interval of the paired difference leaves out 0")
    for column in ("metric", escape(first), escape(second), "difference", "95 % interval"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for metric, difference in found.items():
        bounds = difference.interval
        table.add_row(
            TITLES[metric],
            f"{difference.first:.3f}",
            f"{difference.second:.3f}",
            f"{difference.value:+.3f}{'*' if difference.is_sure else ' '}",
            "" if bounds is None else f"{bounds.low:+.3f} to {bounds.high:+.3f}",
        )
    return table
