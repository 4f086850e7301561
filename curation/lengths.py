"""How long a recording must be, after trimming, to serve as an event or as a background."""

import math
from dataclasses import dataclass

from curation.source_clip import FileRole, Role
from manifests.errors import FlamError

# FineLAP's choice from FSD50K (arXiv 2604.01155), where a collection does not say what is an event
FOREGROUND_SECONDS, BACKGROUND_SECONDS = (1.0, 7.5), 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """Limits in seconds, both included; None: none for a recording with a role, FineLAP's for one without."""

    foreground: tuple[float, float] | None = None
    background: float | None = None  # the shortest

    def __post_init__(self) -> None:
        """Raise FlamError for limits that nothing can meet."""
        low, high = self.foreground or FOREGROUND_SECONDS
        if not 0 <= low <= high < math.inf or not 0 <= (self.background or 0) < math.inf:
            raise FlamError(
                f"foregrounds of {low:g} to {high:g} s and backgrounds of {self.background or 0:g} s or more; "
                "give numbers from 0 up, the smaller one first"
            )

    def role_of(self, role: FileRole, seconds: float) -> Role | None:
        """What a recording of this length is used as; None if it is not."""
        low, high = self.foreground or FOREGROUND_SECONDS
        shortest = BACKGROUND_SECONDS if self.background is None else self.background
        if role == "foreground":
            return role if self.foreground is None or low <= seconds <= high else None
        if role == "background":
            return role if self.background is None or seconds >= shortest else None
        if low <= seconds <= high:
            return "foreground"
        return "background" if seconds >= shortest else None


ANY_LENGTH = Lengths()
