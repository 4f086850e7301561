"""A text beside the times of what it mentions: what the rules of order look words and sounds up in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curation.mentions import Mention, Mentions
from curation.stems import words_of

Span = tuple[float, float]
THEN = words_of("then next later afterwards afterward subsequently finally eventually lastly")
SLACK = 0.3  # seconds that nobody hears


@dataclass(frozen=True, slots=True)
class Times:
    """When the sound of a cluster is heard, every stretch of it, the doubtful ones too."""

    spans: Sequence[Span]
    background: bool = False

    @property
    def first(self) -> float:
        """Its first onset."""
        return min(on for on, _ in self.spans)

    @property
    def last(self) -> float:
        """Its last onset."""
        return max(on for on, _ in self.spans)

    @property
    def end(self) -> float:
        """Its last offset."""
        return max(off for _, off in self.spans)


class Reading:
    """One text, and the sounds that it mentions one by one.

    Args:
        said: what the text mentions.
        times: of each cluster that may be mentioned.
        duration: of the soundscape, seconds.
    """

    def __init__(self, said: Mentions, times: Mapping[str, Times], duration: float) -> None:
        self.row, self.chunk, self.duration, self.times = said.row, said.chunk, duration, times
        # what fits several sounds tells no order
        self.found = [m for m in said.found if len(m.clusters) == 1 and next(iter(m.clusters)) in times]

    def text(self, at: int) -> str:
        """The word or mark at a position; empty beyond the ends."""
        return self.row[at].text if 0 <= at < len(self.row) else ""

    def words(self, at: int, count: int) -> str:
        """So many words from a position on."""
        return " ".join(token.text for token in self.row[at : at + count])

    def before(self, at: int) -> list[Mention]:
        """The nearest mention before a word."""
        return [mention for mention in self.found if mention.first < at][-1:]

    def after(self, at: int) -> list[Mention]:
        """The nearest mention after a word."""
        return [mention for mention in self.found if mention.first > at][:1]

    def here(self, at: int) -> list[Mention]:
        """The mention in the same part of the text; else the one before it."""
        here = [mention for mention in self.found if self.chunk[mention.first] == self.chunk[at]]
        return (here or self.before(at))[-1:]

    def of(self, mention: Mention) -> Times:
        """When what a mention is about is heard."""
        return self.times[next(iter(mention.clusters))]

    def others(self, mention: Mention) -> list[Mention]:
        """The mentions of other sounds, the background aside."""
        return [m for m in self.found if m.clusters != mention.clusters and not self.of(m).background]


def told(one: Mention, other: Mention) -> str:
    """That the first was told of before the second, and should not have been."""
    return f"it tells of {one.text!r} before {other.text!r}, but {other.text!r} comes first"
