"""The forms of the sentence style, by what must be true for them to be said."""

# Of two sounds in order: 0 comes first; c is a clause, n a noun phrase.
THEN = (
    "{c0}, then {c1}",
    "{c0} and then {c1}",
    "first {c0}, then {c1}",
    "{c0}, followed by {n1}",
    "{n0} {be0} followed by {n1}",
    "{n0} {come0} first, then {n1}",
    "first {come0} {n0}, then {n1}",
    "there {be0} {n0} and then {n1}",
)
# Of which the first is over when the second begins.
OVER_BEFORE = (
    "{c0} before {c1}",
    "after {n0}, {c1}",
    "{c0}, and after that {c1}",
    "{c1} after {n0}",
    "{n0} {precede0} {n1}",
    "{n1} {follow1} {n0}",
    "following {n0}, {c1}",
    "{c0}, and afterwards {c1}",
)
# With hardly any silence in between.
AT_ONCE_AFTER = ("{c0}, and soon after that {c1}", "{n0} {give0} way to {n1}", "{c0}, and then straight away {c1}")
# With a silence in between.
AFTER_A_PAUSE = ("{c0}, and after a pause {c1}", "{c0}, and a while later {c1}", "{c0}, a pause follows, then {c1}")
# Of three and more in order; 1 is the last.
SEVERAL = (
    "first {c0}, then {middle}, and finally {c1}",
    "{c0}, then {middle}, and then {c1}",
    "{c0}, followed by {nouns} and finally {n1}",
    "{c0}, then {middle}, and lastly {c1}",
    "{c0} and then {middle}, followed by {n1}",
    "{n0} {come0} first, then {nouns}, and {n1} {come1} last",
    "{c0}, next {middle}, and at last {c1}",
    "there {be0} {n0}, then {nouns}, then {n1}",
    "first {c0}, next {middle}, then {c1}",
    "it starts with {n0}, then {middle}, and {c1} at last",
    "{c0}, later {middle}, and finally {c1}",
)
# Each over when the next begins.
SEVERAL_APART = (
    "{c0}, after that {middle}, and lastly {c1}",
    "after {n0}, {middle}, and finally {c1}",
    "{c0}, and afterwards {middle} and then {c1}",
    "{c0} before {middle}, and finally {c1}",
)
# Of two that overlap.
WHILE = (
    "{c0} while {c1}",
    "{c1} while {c0}",
    "{c0} as {c1}",
    "{c1} as {c0}",
    "{c0}, and at the same time {c1}",
    "{c0} and meanwhile {c1}",
    "{c0}, and meanwhile there {be1} {n1}",
    "there {be0} {n0} while {c1}",
    "while {c0}, {c1}",
    "as {c1}, {c0}",
)
# Each once, and nearly all of the time together.
COINCIDE = (
    "{c0} at the same time as {n1}",
    "{n0} and {n1} are heard together",
    "{n0} and {n1} are heard at the same time",
    "{n0} and {n1} sound together",
    "there {be0} {n0} together with {n1}",
    "{c0} along with {n1}",
    "{n0} and {n1} coincide",
)
INSIDE = (  # 0 is heard during 1
    "during {d1}, {c0}",
    "{c0} during {d1}",
    "{c0} over {d1}",
    "{c1}, with {n0} on top",
    "amid {d1}, {c0}",
    "{n0} can be heard over {d1}",
)
JOINED = ("{n0} {be0} joined by {n1}", "{n1} {join1} {n0}", "{c0}, and then {c1} at the same time")
# 0 before and after 1.
IN_BETWEEN = (
    "{c0}, with {n1} in between",
    "{c0}, and in between {c1}",
    "{c0}, and in between there {be1} {n1}",
    "{c0}, {n1} in between",
    "{c0}, and {n1} {come1} in between",
    "{c0}, and between the times {c1}",
)
# More than one in between.
BY_TURNS = (
    "{n0} and {n1} are heard in turn",
    "{n0} and {n1} are heard by turns",
    "{n0} {alternate0} with {n1}",
    "{n0} and {n1} take turns",
    "by turns there {be0} {n0} and {n1}",
    "in turn, {n0} and {n1} are heard",
)
# Of two with nothing to tell of their times.
BOTH = ("{c0} and {c1}", "{c1} as well as {n0}", "{c0}, and {c1} too", "there {be0} both {n0} and {n1}")
# Of one.
ALONE = ("{c}", "{c}", "{c}", "{c}", "there {be} {n}", "what can be heard {be} {n}")
# A story s and the place where it happens.
PLACED = ("{place}, {s}", "{s} {place}", "{s}, over {of}", "over {of}, {s}")
# A story and its background.
BEHIND = (
    "{s}, over {of}",
    "{s}, with {bg} in the background",
    "{s}, all against {of}",
    "{s}, with {bg} behind it all",
    "{s} against a background of {bare}",
    "{s}, and {heard} in the background",
    "{s}, to {of}",
)
BEFORE = (  # not for stories that have an introduction already
    "over {of}, {s}",
    "with {bg} in the background, {s}",
    "against a background of {bare}, {s}",
    "amid {of}, {s}",
    "{acts} in the background as {s}",
    "{acts}, and over it {s}",
    "there {be} {bg} in the background, and {s}",
    "while {acting} in the background, {s}",
)
INTRODUCED = (
    "after ",
    "as ",
    "while ",
    "during ",
    "amid ",
    "first ",
    "following ",
    "there ",
    "it starts ",
    "by turns ",
    "in turn",
)
