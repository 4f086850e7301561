"""What an import tells its user."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from curation.sources.listing import Reject


@dataclass(kw_only=True, slots=True)
class ImportReport:
    """What became of a set, for the user."""

    is_new: bool = True  # False: the same was imported before, and nothing was done
    num_soundscapes: int = 0
    num_events: int = 0
    num_captions: int = 0
    num_beyond: int = 0  # events that begin after the end of their recording, left out
    num_copied: int = 0  # recordings that could not be linked
    why_copied: str = ""
    splits: Counter[str] = field(default_factory=Counter)
    rejects: list[Reject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # a line each

    def rejects_by_reason(self) -> dict[str, list[str]]:
        """The names of the clips whose recordings could not be used, the most frequent reason first."""
        found: dict[str, list[str]] = defaultdict(list)
        for reject in self.rejects:
            found[reject.reason].append(reject.origin)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))
