"""English grammar by rule: articles, plurals, verb forms. No rule is always right; short lists of exceptions help."""

import re

from curation.sound_words import COUNTABLE_ING, DETERMINERS, DOUBLING, HAPPENINGS, MASS, PLURALS, SINGULAR_S

_AN = re.compile(r"(?:[aeiou]|hour|honest|honou?r|heir|8|11\b|18\b|(?:[fhlmnrsx]|fm|hvac|lp|mp3|mri|sos)\b)")
_NOT_AN = re.compile(r"(?:eu|ewe|one\b|once|u\b|ubi|uku|uni(?!n|m)|ura|uri|us[aeu]|uten|util)")
_PREPOSITION = re.compile(r" (in|on|with|from|at|for|by|to|under|through|over|against|into|of) ")


def noun_phrase(words: str) -> tuple[str, bool]:
    """Words with the articles that they take, if any, and whether they are a plural."""
    surface = re.fullmatch(r"(footsteps) (\w+)", words)
    head, preposition, tail = (surface[1], " on ", surface[2]) if surface else parted(words)
    first, last = head.split()[0], head.split()[-1]
    plural = is_plural(last)
    rest = f"{preposition}{noun_phrase(tail)[0]}" if tail and preposition not in (" of ", " to ", " for ") else ""
    whole = f"{head}{rest or preposition + tail}"
    is_act = last.endswith("ing") and last not in COUNTABLE_ING
    acts_on = first.endswith("ing") and first != head and head.split()[1] in DETERMINERS
    if first in DETERMINERS or plural or last in MASS or is_act or acts_on:
        return whole, plural and not acts_on
    return f"{article(whole)} {whole}", False


def article(words: str) -> str:
    """The indefinite article, by the sound that the words begin with."""
    return "an" if _AN.match(words) and not _NOT_AN.match(words) else "a"


def is_plural(word: str) -> bool:
    """Whether a single word is a plural noun, by its ending and a short list."""
    if word in PLURALS:
        return True
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in SINGULAR_S


def gerund(verb: str) -> str:
    """The -ing form; only the first word of "type on a keyboard" changes."""
    base, space, rest = verb.partition(" ")
    if base.endswith("ie"):
        base = base[:-2] + "y"
    elif base.endswith("e") and not base.endswith(("ee", "oe", "ye")):
        base = base[:-1]
    elif base in DOUBLING:
        base += base[-1]
    return f"{base}ing{space}{rest}" if verb else ""


def third_person(verb: str) -> str:
    """The form after "it"; only the first word of "type on a keyboard" changes."""
    base, space, rest = verb.partition(" ")
    if base.endswith(("s", "x", "z", "ch", "sh", "o")) and not base.endswith("oo"):
        base += "es"
    elif base.endswith("y") and base[-2:-1] not in ("a", "e", "o", "u"):
        base = base[:-1] + "ies"
    else:
        base += "s"
    return f"{base}{space}{rest}"


def bare(noun: str) -> str:
    """A noun phrase without its article."""
    return re.sub("^(?:an?|the) ", "", noun)


def many_of(noun: str) -> str:
    """Several of what the noun names, if that is a single happening: "a gunshot" -> "gunshots"."""
    head, preposition, tail = parted(bare(noun))
    before, space, last = head.rpartition(" ")
    countable = last in HAPPENINGS and noun.startswith(("a ", "an "))
    return f"{before}{space}{third_person(last)}{preposition}{tail}" if countable else ""


def parted(words: str) -> tuple[str, str, str]:
    """Words up to their first preposition, this with its spaces, and the rest."""
    parts = _PREPOSITION.split(words, maxsplit=1)
    return (parts[0], f" {parts[1]} ", parts[2]) if len(parts) == 3 else (words, "", "")
