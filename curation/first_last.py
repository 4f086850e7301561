"""Does a text tell what is heard first or last, and is that so?"""

from collections.abc import Iterator, Sequence

from curation.mentions import Mention
from curation.reading import SLACK, THEN, Reading, told

_FINALLY = frozenset({"finally", "lastly"})
_NEXT = (THEN | {"after"}) - {"later"}
_START = frozenset({"start", "beginning", "outset", "opening"})
_OPENS = frozenset({"starts", "opens", "begins", "start", "begin", "open", "starting", "beginning", "opening"})
_ENDS = frozenset({"ends", "closes", "concludes", "finishes", "ending", "closing", "finishing", "concluding"})
TELL_ENDS = _OPENS | _START | _ENDS | _FINALLY | {"first", "last", "end", "close", "finish"}
# Shares of the duration: what begins later is not at its start, and what is over sooner not at its very end.
_EARLY, _LATE = 0.5, 0.6


class Ends(Reading):
    """The rules for "first", "starts with", "finally", "at the end"."""

    def ends_of_text(self, at: int, word: str) -> Iterator[str]:
        """What is wrong with what word `at` tells."""
        following = self.text(at + 1)
        if word in _OPENS and following in ("with", "off", "it"):
            yield from self._is_first(self.after(at) if following == "with" else self.here(at))
        elif word == "first" and self.text(at - 1) not in ("the", "at", "a", "its", "very") and following != "of":
            after = [mention for mention in self.here(at) if mention.first > at]
            yield from self._is_first(after or self.here(at), until=self._next_then(at) if after else 0, early=False)
        elif word in _START and self.text(at - 1) in ("the", "very"):
            yield from self._is_first(self.here(at))
        elif word in _ENDS and following == "with":
            yield from self._is_last(self.after(at))
        elif word in _FINALLY:
            yield from self._is_last(self.after(at), at=at)
        elif (word in ("end", "close", "finish") and self.text(at - 1) == "to") or self.words(at, 3) == "last of all":
            yield from self._is_last(self.here(at) or self.after(at))
        elif word == "end" and self.text(at - 1) in ("the", "very") and self._near_at(at):
            exact = bool({"very", "right"} & {self.text(at - 1), self.text(at - 3)}) or following == "of"
            yield from self._is_last(self.here(at), at_end=exact, at=at)
        elif word == "last" and self.text(at - 1) in ("come", "comes", "in", "heard", "coming"):
            yield from self._is_last(self.here(at))

    def _near_at(self, at: int) -> bool:
        """Whether "the end" is "at the end" or "at the very end"."""
        before = {self.text(at - 2), self.text(at - 3)}
        return "at" in before and "near" not in before

    def _next_then(self, at: int) -> int:
        """Where the next sound in order is told of; 0 if none is."""
        return next((here for here in range(at, len(self.row)) if self.text(here) in _NEXT), 0)

    def _is_first(self, mentions: Sequence[Mention], *, until: int = 0, early: bool = True) -> Iterator[str]:
        """`until`: what is told of before may come at the same time. `early`: it was told to be at the very start."""
        for mention in mentions:
            if self.of(mention).background:
                continue
            begin = self.of(mention).first
            earlier = [m for m in self.others(mention) if m.first >= until and self.of(m).first < begin - SLACK]
            if earlier:
                yield told(mention, earlier[0])
            elif early and begin > _EARLY * self.duration:
                yield f"it tells of {mention.text!r} at the start, but it begins late"

    def _is_last(self, mentions: Sequence[Mention], *, at_end: bool = False, at: int = -1) -> Iterator[str]:
        """`at_end`: it was told to be at the very end. `at`: what is told of after it may come at the same time."""
        for mention in mentions:
            mine = self.of(mention)
            if mine.background:
                continue
            later = [
                other
                for other in self.others(mention)
                if not (-1 < at < mention.first < other.first)
                and self.of(other).last > mine.last + SLACK
                and self.of(other).end > mine.end + SLACK
            ]
            if later:
                yield f"it tells of {mention.text!r} at the end, but {later[0].text!r} comes later"
            elif at_end and mine.end < _LATE * self.duration:
                yield f"it tells of {mention.text!r} at the end, but it is over long before"
