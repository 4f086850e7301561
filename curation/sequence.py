"""Does a text tell in which order sounds are heard, and is that so?

Each rule looks for one word ("then", "before", "while", "finally" ...), takes the mentions nearest to it, and asks
whether any reading of it agrees with the times. A sound that comes again and again may be both before and after another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from curation.mentions import Mention, Mentions

Span = tuple[float, float]

_THEN = frozenset(
    {"then", "next", "later", "afterwards", "afterward", "subsequently", "finally", "eventually", "lastly"}
)
_FINALLY = frozenset({"finally", "lastly"})
_WHILE = frozenset({"while", "whilst", "as", "during", "meanwhile"})
_NO_WHILE = frozenset({"well", "if", "though", "soon", "the", "long", "many"})  # "as the" may be, but see _while
_ENDED = frozenset(
    "stop stopped stops end ended ends finish finished finishes fade faded fades gone over ceased ceases subsided quiet"
    " silent done died dies".split()
)
_BEGUN = frozenset("begin begins began start starts started set sets arrive arrives".split())
_AT_ALL = frozenset({"any", "anyone", "anything", "first", "all", "even", "ever"})
_START = frozenset({"start", "beginning", "outset", "opening"})
_END = frozenset({"end", "close", "finish", "last"})
_OPENS = frozenset({"starts", "opens", "begins", "start", "begin", "open", "starting", "beginning", "opening"})
_ENDS = frozenset({"ends", "closes", "concludes", "finishes", "ending", "closing", "finishing", "concluding"})
_SLACK = 0.3  # seconds that nobody hears
_BESIDE = 0.15  # seconds between two sounds that may pass for simultaneous
_CLAUSE = 9  # words that a clause after "once" may have
_EARLY, _LATE = (
    0.5,
    0.6,
)  # shares of the duration: what begins later is not at the start; what ends sooner not at the end


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


def wrong_orders(said: Mentions, times: Mapping[str, Times], duration: float) -> list[str]:
    """A sentence for each statement about order that the times contradict.

    Args:
        said: what the text mentions.
        times: of each cluster that may be mentioned.
        duration: of the soundscape, seconds.
    """
    return list(dict.fromkeys(_Text(said, times, duration).problems()))


class _Text:
    def __init__(self, said: Mentions, times: Mapping[str, Times], duration: float) -> None:
        self.row, self.chunk, self.duration, self.times = said.row, said.chunk, duration, times
        # what fits several sounds tells no order
        self.found = [m for m in said.found if len(m.clusters) == 1 and next(iter(m.clusters)) in times]

    def problems(self) -> Iterator[str]:
        for at, word in enumerate(self.row):
            if word.text in _THEN or (word.text in ("followed", "gives", "give", "giving", "gave")):
                yield from self._then(at)
            elif word.text in ("follow", "follows", "following"):
                yield from self._follows(at)
            elif word.text == "preceded":
                yield from self._first(self._after(at), self._before(at), strict=False)
            elif word.text == "before":
                yield from self._before_clause(at)
            elif word.text in ("after", "when") or (word.text == "once" and self._joins_clauses(at)):
                yield from self._after_clause(at, word.text)
            elif word.text in _WHILE or self._words(at, 4) in ("at the same time", "at the same moment"):
                yield from self._while(at)
            yield from self._ends_of_text(at, word.text)

    def _text(self, at: int) -> str:
        return self.row[at].text if 0 <= at < len(self.row) else ""

    def _words(self, at: int, count: int) -> str:
        return " ".join(token.text for token in self.row[at : at + count])

    def _before(self, at: int) -> list[Mention]:
        """The nearest mention before a word."""
        return [mention for mention in self.found if mention.first < at][-1:]

    def _after(self, at: int) -> list[Mention]:
        """The nearest mention after a word."""
        return [mention for mention in self.found if mention.first > at][:1]

    def _of(self, mention: Mention) -> Times:
        return self.times[next(iter(mention.clusters))]

    def _first(self, one: Sequence[Mention], other: Sequence[Mention], *, strict: bool) -> Iterator[str]:
        """`one` is told to begin before `other`: so it does at least once, or at its first time if `strict`."""
        for a in one:
            for b in other:
                limit = self._of(b).first if strict else self._of(b).last
                if a.clusters != b.clusters and self._of(a).first >= limit + (0.0 if not strict else 0.05):
                    yield _told(a, b)

    def _then(self, at: int) -> Iterator[str]:
        word, following = self.row[at].text, self._text(at + 1)
        if word == "followed" and following != "by":
            return
        if word.startswith(("giv", "gave")) and following not in ("way", "over"):
            return
        if word == "next" and following == "to":
            return
        if word == "later" and self._text(at + 1) in (",", ".", "", "and"):
            return  # "a cough comes later" tells of the mention before it
        since = max((here for here in range(at) if self._text(here) in _THEN | {"followed"}), default=-1)
        left = [mention for mention in self.found if since < mention.first < at]
        right = [mention for mention in self._after(at) if not self._of(mention).background]
        yield from self._first([m for m in left if not self._of(m).background], right, strict=False)

    def _follows(self, at: int) -> Iterator[str]:
        after = [mention for mention in self._after(at) if self.chunk[mention.first] == self.chunk[at]]
        if after:
            yield from self._first(after, self._before(at), strict=False)
            return
        before = [mention for mention in self.found if mention.first < at]
        here = [mention for mention in before[-1:] if self.chunk[mention.first] == self.chunk[at]]
        yield from self._first(before[:-1][-1:], here, strict=False)

    def _before_clause(self, at: int) -> Iterator[str]:
        right = self._after(at)
        left = self._before(at)
        if not left and right:  # "Before Y, X"
            left = [mention for mention in self.found if mention.first > right[0].last][:1]
        if not (left and right):
            return
        clause = self._clause(at, right[-1])
        if clause & _ENDED - {"over"} or ("over" in clause and "is" in clause):
            if self._of(left[0]).first > self._of(right[0]).end:
                yield _told(left[0], right[0])
        elif self._clause_before(left[0], at) & _ENDED and not self._of(right[0]).background:
            if self._of(left[0]).end > self._of(right[0]).last + _SLACK:
                yield f"it says that {left[0].text!r} is over before {right[0].text!r} begins, but it is not"
        else:
            if "last time" in self._words(left[0].last + 1, at - left[0].last) and self._of(left[0]).last > (
                self._of(right[0]).first
            ):
                yield _told(left[0], right[0])
            strict = bool(clause & (_AT_ALL | _BEGUN)) or self._of(right[0]).background
            yield from self._first(left, right, strict=strict and not self._of(left[0]).background)

    def _after_clause(self, at: int, word: str) -> Iterator[str]:
        stop = next((here for here in range(at + 1, len(self.row)) if not self.row[here].stem), len(self.row))
        ended = [here for here in range(at + 1, min(stop, at + 1 + _CLAUSE)) if self._text(here) in _ENDED]
        ended = [here for here in ended if self._text(here) != "over" or self._text(here - 1) in _IS]
        only = self._text(at - 1) == "only"
        if ended:
            yield from self._once_ended(at, ended[0])
        elif word == "after" and self._text(at + 1) in ("that", "this", "which"):
            yield from self._first(self._before(at), self._after(at), strict=False)
        elif word == "after" or only:
            right = [m for m in self._after(at) if self.chunk[m.first] == self.chunk[at]]
            if self._text(at - 1) in ("soon", "shortly", "long", "moments", "one", "right", "time") and not right:
                return
            sentence = self._start_of_sentence(at)
            left = [mention for mention in self._before(at) if mention.first > sentence]
            if right and not left:
                left = [m for m in self.found if m.first > right[0].last and self.chunk[m.first] != self.chunk[at]][:1]
            strict = only or "last" in self._clause(at, right[0]) if right else False
            for x in left:
                for y in right:
                    limit = self._of(y).last if strict and not only else self._of(y).first
                    begins = self._of(x).first if only else self._of(x).last
                    if x.clusters != y.clusters and begins <= limit and not self._of(x).background:
                        yield _told(y, x)
        elif word == "when" and {"already", "been"} & {token.text for token in self.row[max(0, at - 9) : at]}:
            yield from self._first(self._before(at), self._after(at), strict=bool(_AT_ALL & self._near(at)))

    def _once_ended(self, at: int, ended: int) -> Iterator[str]:
        """ "Once Y has stopped, X" or "X after Y has stopped"; Y may be "it"."""
        gone = [mention for mention in self.found if at < mention.first < ended]
        before = [mention for mention in self.found if mention.first < at]
        later = [mention for mention in self.found if mention.first > ended]
        if not gone:
            gone = before[-1:]
            others = [mention for mention in before if not gone or mention.clusters != gone[0].clusters]
            coming = later[:1] or others[-1:]
        else:
            coming = before[-1:] if before and self._text(at - 1) not in (",", "and", "") else later[:1]
        for x in coming:
            for y in gone:
                if x.clusters != y.clusters and self._of(x).last < self._of(y).end - _SLACK:
                    yield f"it tells of {x.text!r} after {y.text!r} is over, but it comes earlier"

    def _while(self, at: int) -> Iterator[str]:
        word, following = self.row[at].text, self._text(at + 1)
        if word == "as" and (following in _NO_WHILE - {"the"} or self._text(at - 1) in ("such", "well", "soon")):
            return
        since = max((here for here in range(at) if self._text(here) in _THEN | {"followed", ";", "."}), default=-1)
        left = [mention for mention in self.found if since < mention.first < at]
        right = [mention for mention in self.found if mention.first > at and self._joins(at, mention)]
        if word == "at":  # "... at the same moment"; with "as" it stands between the two
            if self._text(at - 1) == "partly":
                return
            if self._text(at + 4) != "as":
                right, left = left[-1:], left[:-1][-1:]
        if not left and right:  # "While Y, X"
            left = [m for m in self.found if m.first > right[-1].last and self.chunk[m.first] > self.chunk[at] + 1][:1]
        if left and right and not any(self._meet(a, b) for a in left for b in right):
            yield f"it tells of {left[-1].text!r} and {right[0].text!r} at the same time, but they are apart"

    def _joins(self, at: int, mention: Mention) -> bool:
        """Whether no comma or word of order stands between."""
        return not any(self._text(here) in _STOPS for here in range(at + 1, mention.first))

    def _meet(self, one: Mention, other: Mention) -> bool:
        return one.clusters == other.clusters or any(
            on <= end + _BESIDE and start <= off + _BESIDE
            for on, off in self._of(one).spans
            for start, end in self._of(other).spans
        )

    def _ends_of_text(self, at: int, word: str) -> Iterator[str]:
        following = self._text(at + 1)
        if word in _OPENS and following in ("with", "off", "it"):
            yield from self._is_first(self._after(at) if following == "with" else self._here(at))
        elif word == "first" and self._text(at - 1) not in ("the", "at", "a", "its", "very") and following != "of":
            after = [mention for mention in self._here(at) if mention.first > at]
            yield from self._is_first(after or self._here(at), until=self._next_then(at) if after else 0, early=False)
        elif word in _START and self._text(at - 1) in ("the", "very"):
            yield from self._is_first(self._here(at))
        elif word in _ENDS and following == "with":
            yield from self._is_last(self._after(at))
        elif word in _FINALLY:
            yield from self._is_last(self._after(at), at=at)
        elif (word in ("end", "close", "finish") and self._text(at - 1) == "to") or self._words(at, 3) == "last of all":
            yield from self._is_last(self._here(at) or self._after(at))
        elif word == "end" and self._text(at - 1) in ("the", "very") and self._near_at(at):
            exact = bool({"very", "right"} & {self._text(at - 1), self._text(at - 3)}) or following == "of"
            yield from self._is_last(self._here(at), at_end=exact, at=at)
        elif word == "last" and self._text(at - 1) in ("come", "comes", "in", "heard", "coming"):
            yield from self._is_last(self._here(at))

    def _joins_clauses(self, at: int) -> bool:
        """Whether "once" stands for "as soon as" and not for one time."""
        return self._text(at - 1) not in _ONE_TIME and self._text(at + 1) not in _NO_CLAUSE

    def _near_at(self, at: int) -> bool:
        return "at" in (self._text(at - 2), self._text(at - 3)) and "near" not in (
            self._text(at - 2),
            self._text(at - 3),
        )

    def _here(self, at: int) -> list[Mention]:
        """The mention in the same part of the text; else the one before it."""
        here = [mention for mention in self.found if self.chunk[mention.first] == self.chunk[at]]
        return (here or self._before(at))[-1:]

    def _next_then(self, at: int) -> int:
        """Where the next sound in order is told of; 0 if none is."""
        return next((here for here in range(at, len(self.row)) if self._text(here) in _THEN | {"after"}), 0)

    def _is_first(self, told: Sequence[Mention], *, until: int = 0, early: bool = True) -> Iterator[str]:
        """`until`: what is told of before may come at the same time. `early`: it was told to be at the very start."""
        for mention in told:
            if self._of(mention).background:
                continue
            begin = self._of(mention).first
            earlier = [m for m in self._others(mention) if m.first >= until and self._of(m).first < begin - _SLACK]
            if earlier:
                yield _told(mention, earlier[0])
            elif early and begin > _EARLY * self.duration:
                yield f"it tells of {mention.text!r} at the start, but it begins late"

    def _is_last(self, told: Sequence[Mention], *, at_end: bool = False, at: int = -1) -> Iterator[str]:
        """`at_end`: it was told to be at the very end. `at`: what is told of after it may come at the same time."""
        for mention in told:
            mine = self._of(mention)
            if mine.background:
                continue
            later = [
                other
                for other in self._others(mention)
                if not (-1 < at < mention.first < other.first)
                and self._of(other).last > mine.last + _SLACK
                and self._of(other).end > mine.end + _SLACK
            ]
            if later:
                yield f"it tells of {mention.text!r} at the end, but {later[0].text!r} comes later"
            elif at_end and mine.end < _LATE * self.duration:
                yield f"it tells of {mention.text!r} at the end, but it is over long before"

    def _others(self, mention: Mention) -> list[Mention]:
        return [m for m in self.found if m.clusters != mention.clusters and not self._of(m).background]

    def _clause(self, at: int, mention: Mention) -> set[str]:
        """The words from a conjunction to the end of the clause in which a mention stands."""
        stop = mention.last + 1
        while stop < len(self.row) and stop <= mention.last + 4 and self.row[stop].stem and self._text(stop) != "and":
            stop += 1
        return {token.text for token in self.row[at + 1 : stop]}

    def _clause_before(self, mention: Mention, at: int) -> set[str]:
        return {token.text for token in self.row[mention.last + 1 : at]}

    def _near(self, at: int) -> set[str]:
        return {token.text for token in self.row[at + 1 : at + 4]}

    def _start_of_sentence(self, at: int) -> int:
        return max((here for here in range(at) if self._text(here) in (".", ";", "!")), default=-1)


_ONE_TIME = frozenset({"only", "just", "exactly", "than", "at", "the", "but", "heard"})
_NO_CLAUSE = frozenset("at in on by near and with during or before after again more as while over from to ,".split())
_NO_CLAUSE |= {".", ";", ""}
_IS = frozenset({"is", "are", "was", "were", "been", "be"})
_STOPS = _THEN | {",", ";", ".", "before", "after", "followed", "once", "with"}


def _told(one: Mention, other: Mention) -> str:
    return f"it tells of {one.text!r} before {other.text!r}, but {other.text!r} comes first"
