"""Does a text tell in which order sounds are heard, and is that so?

Each rule looks for one word ("then", "before", "while" ...), takes the mentions nearest to it, and asks whether any
reading of it agrees with the times. A sound that comes again and again may be both before and after another.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from curation.first_last import TELL_ENDS, Ends
from curation.mentions import Mention, Mentions
from curation.reading import SLACK, THEN, Times, told
from curation.stems import words_of

_WHILE = frozenset({"while", "whilst", "as", "during", "meanwhile"})
_AT_ONCE = ("at the same time", "at the same moment", "simultaneously", "concurrently")
_NO_WHILE = frozenset({"well", "if", "though", "soon", "long", "many"})  # "as well"
_ENDED = words_of(
    "stop stopped stops end ended ends finish finished finishes fade faded fades gone over ceased ceases subsided quiet"
    " silent done died dies"
)
_BEGUN = words_of("begin begins began start starts started set sets arrive arrives")
_AT_ALL = frozenset({"any", "anyone", "anything", "first", "all", "even", "ever"})
_BESIDE = 0.15  # seconds between two sounds that may pass for simultaneous
_MOST_TOGETHER = 8  # mentions on each side of "while" that are compared
_CLAUSE = 9  # words that a clause after "once" may have
_ONE_TIME = frozenset({"only", "just", "exactly", "than", "at", "the", "but", "heard"})
_NO_CLAUSE = words_of("at in on by near and with during or before after again more as while over from to ,")
_NO_CLAUSE |= {".", ";", ""}
_IS = frozenset({"is", "are", "was", "were", "been", "be"})
_FOLLOWED = frozenset({"followed", "gives", "give", "giving", "gave"})
_FOLLOWS = frozenset({"follow", "follows", "following"})
_PRECEDES = frozenset({"precede", "precedes", "preceding"})
_CONJUNCTIONS = frozenset({"before", "prior", "after", "when", "once", "at", "simultaneously", "concurrently", "in"})
_TELL_ORDER = THEN | _FOLLOWED | _FOLLOWS | _PRECEDES | {"preceded"} | _CONJUNCTIONS | _WHILE | TELL_ENDS
_STOPS = THEN | {",", ";", ".", "before", "after", "followed", "once", "with"}


def wrong_orders(said: Mentions, times: Mapping[str, Times], duration: float) -> list[str]:
    """A sentence for each statement about order that the times contradict.

    Args:
        said: what the text mentions.
        times: of each cluster that may be mentioned.
        duration: of the soundscape, seconds.
    """
    return list(dict.fromkeys(_Text(said, times, duration).problems()))


class _Text(Ends):
    """All rules."""

    def problems(self) -> Iterator[str]:
        for at, word in enumerate(self.row):
            if word.text not in _TELL_ORDER:
                continue  # most words
            if word.text in THEN or word.text in _FOLLOWED:
                yield from self._then(at)
            elif word.text in _FOLLOWS:
                yield from self._follows(at)
            elif word.text == "preceded":
                yield from self._first(self.after(at), self._told_of(at), strict=False)
            elif word.text in _PRECEDES:
                yield from self._first(self._told_of(at), self.after(at), strict=False)
            elif word.text == "before" or self.words(at, 2) == "prior to":
                yield from self._before_clause(at)
            elif word.text in ("after", "when") or (word.text == "once" and self._joins_clauses(at)):
                yield from self._after_clause(at, word.text)
            elif word.text in _WHILE:
                yield from self._while(at)
            elif word.text in ("at", "simultaneously", "concurrently"):
                yield from self._at_once(at)
            elif self.words(at, 3) in ("in that order", "in this order"):
                yield from self._in_that_order(at)
            yield from self.ends_of_text(at, word.text)

    def _first(self, one: Sequence[Mention], other: Sequence[Mention], *, strict: bool) -> Iterator[str]:
        """`one` is told to begin before `other`: so it does at least once, or at its first time if `strict`."""
        for a in one:
            for b in other:
                limit = self.of(b).first if strict else self.of(b).last
                if a.clusters != b.clusters and self.of(a).first >= limit + (0.0 if not strict else 0.05):
                    yield told(a, b)

    def _told_of(self, at: int) -> list[Mention]:
        """What a conjunction joins to the mention after it: what stands before, or in "Before Y, X" after the comma."""
        comma = next((here for here in range(at, len(self.row)) if self.text(here) == ","), len(self.row))
        return self.before(at) or self.after(comma)

    def _in_that_order(self, at: int) -> Iterator[str]:
        start = self._start_of_sentence(at)
        listed = [mention for mention in self.found if not self.of(mention).background]
        before = [mention for mention in listed if start < mention.first < at]
        for one, other in itertools.pairwise(before or [mention for mention in listed if mention.first > at]):
            yield from self._first([one], [other], strict=False)

    def _then(self, at: int) -> Iterator[str]:
        word, following = self.row[at].text, self.text(at + 1)
        if word == "followed" and following != "by":
            return
        if word.startswith(("giv", "gave")) and following not in ("way", "over"):
            return
        if word == "next" and following == "to":
            return
        if word == "later" and self.text(at + 1) in (",", ".", "", "and"):
            return  # "a cough comes later" tells of the mention before it
        since = max((here for here in range(at) if self.text(here) in THEN | {"followed"}), default=-1)
        left = [mention for mention in self.found if since < mention.first < at]
        if word == "followed" and not left:
            left = self._told_of(at)
        right = [mention for mention in self.after(at) if not self.of(mention).background]
        yield from self._first([m for m in left if not self.of(m).background], right, strict=False)

    def _follows(self, at: int) -> Iterator[str]:
        after = [mention for mention in self.after(at) if self.chunk[mention.first] == self.chunk[at]]
        if after:
            yield from self._first(after, self._told_of(at), strict=False)
            return
        before = [mention for mention in self.found if mention.first < at]
        here = [mention for mention in before[-1:] if self.chunk[mention.first] == self.chunk[at]]
        yield from self._first(before[:-1][-1:], here, strict=False)

    def _before_clause(self, at: int) -> Iterator[str]:
        left, right = self._told_of(at), self.after(at)
        if not (left and right):
            return
        clause = self._clause(at, right[-1])
        if clause & _ENDED - {"over"} or ("over" in clause and "is" in clause):
            if self.of(left[0]).first > self.of(right[0]).end:
                yield told(left[0], right[0])
        elif self._clause_before(left[0], at) & _ENDED and not self.of(right[0]).background:
            if self.of(left[0]).end > self.of(right[0]).last + SLACK:
                yield f"it says that {left[0].text!r} is over before {right[0].text!r} begins, but it is not"
        else:
            if "last time" in self.words(left[0].last + 1, at - left[0].last) and self.of(left[0]).last > (
                self.of(right[0]).first
            ):
                yield told(left[0], right[0])
            strict = bool(clause & (_AT_ALL | _BEGUN)) or self.of(right[0]).background
            yield from self._first(left, right, strict=strict and not self.of(left[0]).background)

    def _after_clause(self, at: int, word: str) -> Iterator[str]:
        stop = next((here for here in range(at + 1, len(self.row)) if not self.row[here].stem), len(self.row))
        ended = [here for here in range(at + 1, min(stop, at + 1 + _CLAUSE)) if self.text(here) in _ENDED]
        ended = [here for here in ended if self.text(here) != "over" or self.text(here - 1) in _IS]
        only = self.text(at - 1) == "only"
        if ended:
            yield from self._once_ended(at, ended[0])
        elif word == "after" and self.text(at + 1) in ("that", "this", "which"):
            yield from self._first(self.before(at), self.after(at), strict=False)
        elif word == "after" or only:
            right = [m for m in self.after(at) if self.chunk[m.first] == self.chunk[at]]
            if self.text(at - 1) in ("soon", "shortly", "long", "moments", "one", "right", "time") and not right:
                return
            sentence = self._start_of_sentence(at)
            left = [mention for mention in self.before(at) if mention.first > sentence]
            if right and not left:
                left = [m for m in self.found if m.first > right[0].last and self.chunk[m.first] != self.chunk[at]][:1]
            strict = only or "last" in self._clause(at, right[0]) if right else False
            for x in left:
                for y in right:
                    limit = self.of(y).last if strict and not only else self.of(y).first
                    begins = self.of(x).first if only else self.of(x).last
                    if x.clusters != y.clusters and begins <= limit and not self.of(x).background:
                        yield told(y, x)
        elif word == "when" and {"already", "been"} & {token.text for token in self.row[max(0, at - 9) : at]}:
            yield from self._first(self.before(at), self.after(at), strict=bool(_AT_ALL & self._near(at)))

    def _once_ended(self, at: int, ended: int) -> Iterator[str]:
        """After "once": "once Y has stopped, X", or "X after Y has stopped"; Y may be "it"."""
        gone = [mention for mention in self.found if at < mention.first < ended]
        before = [mention for mention in self.found if mention.first < at]
        later = [mention for mention in self.found if mention.first > ended]
        if not gone:
            gone = before[-1:]
            others = [mention for mention in before if not gone or mention.clusters != gone[0].clusters]
            coming = later[:1] or others[-1:]
        else:
            coming = before[-1:] if before and self.text(at - 1) not in (",", "and", "") else later[:1]
        for x in coming:
            for y in gone:
                if x.clusters != y.clusters and self.of(x).last < self.of(y).end - SLACK:
                    yield f"it tells of {x.text!r} after {y.text!r} is over, but it comes earlier"

    def _while(self, at: int) -> Iterator[str]:
        word, following = self.row[at].text, self.text(at + 1)
        if word == "as" and (following in _NO_WHILE or self.text(at - 1) in ("such", "well", "soon")):
            return
        since = max((here for here in range(at) if self.text(here) in THEN | {"followed", ";", "."}), default=-1)
        left = [mention for mention in self.found if since < mention.first < at]
        stop = next((here for here in range(at + 1, len(self.row)) if self.text(here) in _STOPS), len(self.row))
        right = [mention for mention in self.found if at < mention.first < stop]
        if not left and right:  # "While Y, X"
            left = [m for m in self.found if m.first > right[-1].last and self.chunk[m.first] > self.chunk[at] + 1][:1]
        yield from self._apart(left, right)

    def _at_once(self, at: int) -> Iterator[str]:
        phrase = next((words for words in _AT_ONCE if self.words(at, words.count(" ") + 1) == words), "")
        end = at + phrase.count(" ") + 1
        if not phrase or self.text(at - 1) == "partly" or self.text(end) == "as":  # of "as", `_while` tells
            return
        if self.text(end) == "with":
            yield from self._while(end)
            return
        before = [mention for mention in self.found if self._start_of_sentence(at) < mention.first < at]
        after = [mention for mention in self.after(at) if self.chunk[mention.first] == self.chunk[at]]
        if before and after and self.text(at - 1) in (",", "and"):  # "X, and at the same time Y"
            yield from self._apart(before, after)
        else:
            yield from self._apart(before[:-1][-1:], before[-1:])

    def _apart(self, left: Sequence[Mention], right: Sequence[Mention]) -> Iterator[str]:
        left, right = left[-_MOST_TOGETHER:], right[:_MOST_TOGETHER]
        if left and right and not any(self._meet(a, b) for a in left for b in right):
            yield f"it tells of {left[-1].text!r} and {right[0].text!r} at the same time, but they are apart"

    def _meet(self, one: Mention, other: Mention) -> bool:
        return one.clusters == other.clusters or any(
            on <= end + _BESIDE and start <= off + _BESIDE
            for on, off in self.of(one).spans
            for start, end in self.of(other).spans
        )

    def _joins_clauses(self, at: int) -> bool:
        """Whether "once" stands for "as soon as" and not for one time."""
        return self.text(at - 1) not in _ONE_TIME and self.text(at + 1) not in _NO_CLAUSE

    def _clause(self, at: int, mention: Mention) -> set[str]:
        """The words from a conjunction to the end of the clause in which a mention stands."""
        stop = mention.last + 1
        while stop < len(self.row) and stop <= mention.last + 4 and self.row[stop].stem and self.text(stop) != "and":
            stop += 1
        return {token.text for token in self.row[at + 1 : stop]}

    def _clause_before(self, mention: Mention, at: int) -> set[str]:
        return {token.text for token in self.row[mention.last + 1 : at]}

    def _near(self, at: int) -> set[str]:
        return {token.text for token in self.row[at + 1 : at + 4]}

    def _start_of_sentence(self, at: int) -> int:
        return max((here for here in range(at) if self.text(here) in (".", ";", "!")), default=-1)
