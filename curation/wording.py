"""A label -> words for a sentence: "dog_bark" -> "a dog bark", "a dog barking", "a dog barks".

English has no rule that is always right, so three kinds of knowledge are tried in turn: labels of
well-known corpora that need other words, small sets of sound words, and general rules. A wrong
guess must still read as English.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass

from curation.sound_words import (
    ANIMATE,
    COUNTABLE_ING,
    DOUBLING,
    FRONT_VERBS,
    GERUND_ONLY,
    HUMAN_VERBS,
    KNOWN_ACTS,
    KNOWN_NOUNS,
    MASS,
    PEOPLE,
    PLACES,
    PLURALS,
    SINGULAR_S,
    TYPICAL_ACTS,
    VERBS,
)
from curation.source_clip import UNLABELLED
from manifests.schema import Background

_LONGEST_NOUN = 4  # words; a longer label is a description, and no article can be guessed for it
_AN = re.compile(r"(?:[aeiou]|hour|honest|honou?r|heir|8|11\b|18\b|(?:[fhlmnrsx]|fm|hvac|lp|mp3|mri|sos)\b)")
_NOT_AN = re.compile(r"(?:eu|ewe|one\b|once|u\b|ubi|uku|uni(?!n|m)|ura|uri|us[aeu]|uten|util)")
_DETERMINERS = frozenset({"a", "an", "the", "some", "my", "many", "several", "two", "three", "someone", "something"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Wording:
    """One label in words that can stand in a sentence."""

    words: str  # the label itself: "dog bark"
    noun: str  # with its article, if it takes one: "a dog bark"
    plural: bool  # the noun takes "are"
    subject: str = ""  # what makes the sound: "a dog"; empty if nobody knows
    verb: str = ""  # what it does: "bark"
    subject_plural: bool = False
    lasting: bool = False  # goes on rather than happens: "rain falls twice" would be odd

    @property
    def doing(self) -> str:
        """A noun phrase with the act: "a dog barking"; just the noun if the act is not known."""
        return f"{self.subject} {gerund(self.verb)}" if self.verb else self.noun

    @property
    def acts(self) -> str:
        """A clause in the present tense: "a dog barks", else "a car horn is heard"."""
        if not self.verb:
            return self.heard
        return f"{self.subject} {self.verb if self.subject_plural else third_person(self.verb)}"

    @property
    def is_acting(self) -> str:
        """A clause in the progressive: "a dog is barking", else "a car horn is heard"."""
        if not self.verb:
            return self.heard
        return f"{self.subject} {'are' if self.subject_plural else 'is'} {gerund(self.verb)}"

    @property
    def heard(self) -> str:
        """A clause that fits every sound: "a dog bark is heard"."""
        return f"{self.noun} {'are' if self.plural else 'is'} heard"

    @property
    def sound_of(self) -> str:
        """A noun phrase that fits every sound: "the sound of a dog bark"."""
        return self.noun if self.noun.startswith("the sound of") else f"the sound of {self.noun}"

    @property
    def place(self) -> str:
        """Where one is, if the label names a place: "in a cafe"; else empty."""
        preposition = PLACES.get(self.words.rsplit(" ", 1)[-1], "")
        return f"{preposition} {self.noun}" if preposition else ""


@functools.lru_cache(maxsize=4096)
def wording(label: str) -> Wording:
    """The label's first meaning in words; corpora often write several into one label."""
    return wordings(label)[0]


def background_wording(background: Background | None) -> Wording | None:
    """What is heard behind the events; None where nothing is or nobody knows."""
    return wording(background.label) if background is not None and background.label != UNLABELLED else None


@functools.lru_cache(maxsize=4096)
def wordings(label: str) -> tuple[Wording, ...]:
    """Every meaning that a label lists: "Subway_and_metro_and_underground" lists three."""
    meanings = re.split(r"[,;|/]", label)
    if len(meanings) == 1:
        listed = plain_words(label).split(" and ")
        meanings = listed if len(listed) > 2 else [label]  # "rock and roll" is one thing
    words = dict.fromkeys(filter(None, map(plain_words, meanings)))
    return tuple(_word(meaning) for meaning in words) or (Wording(words="sound", noun="a sound", plural=False),)


def plain_words(label: str) -> str:
    """Lower-cased words with single spaces, without underscores, punctuation, control codes."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", label))
    kept = "".join(char if _is_wordlike(char) else " " for char in split.lower())
    words = (word.strip("'\u2019") for word in kept.split())
    return " ".join(word for word in words if word)


def _is_wordlike(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMN" or unicodedata.category(char) == "So" or char in "'\u2019"


def _word(words: str) -> Wording:
    opaque = not ("a" <= words[0] <= "z") or words.count(" ") >= _LONGEST_NOUN
    if opaque:
        return Wording(words=words, noun=f"the sound of {words}", plural=False)
    noun, plural = KNOWN_NOUNS.get(words) or noun_phrase(words)
    subject, verb = _act(words)
    if not verb:
        return Wording(words=words, noun=noun, plural=plural)
    who, who_plural = PEOPLE.get(subject) or noun_phrase(subject)
    word = Wording(
        words=words,
        noun=noun,
        plural=plural,
        subject=who,
        verb=verb,
        subject_plural=who_plural,
        lasting=subject in MASS,
    )
    acts_last = words.split()[-1].endswith("ing") and " " in words and words not in KNOWN_NOUNS
    if (words in KNOWN_ACTS and words not in KNOWN_NOUNS) or (acts_last and not words.endswith(subject)):
        return _replaced_noun(word)
    return word


def _replaced_noun(word: Wording) -> Wording:
    """The act is the better noun: "a dog barking" for "dog barking"."""
    return Wording(
        words=word.words,
        noun=word.doing,
        plural=word.subject_plural,
        subject=word.subject,
        verb=word.verb,
        subject_plural=word.subject_plural,
        lasting=word.lasting,
    )


def _act(words: str) -> tuple[str, str]:
    """Who does what, as (subject without article, base verb); empty if the words don't tell."""
    if words in KNOWN_ACTS:
        return KNOWN_ACTS[words]
    first, _, rest = words.partition(" ")
    before, _, last = words.rpartition(" ")
    verb = _FORMS.get(last, "")
    if verb and before and not (verb in GERUND_ONLY and last != gerund(verb)):
        return before, verb
    if verb in HUMAN_VERBS and last == gerund(verb):
        return "someone", verb
    verb = _FORMS.get(first, "")
    if rest and first == gerund(verb) and (verb in FRONT_VERBS or rest.rsplit(" ", 1)[-1] in ANIMATE):
        return rest, verb
    typical = TYPICAL_ACTS.get(words) or TYPICAL_ACTS.get(last, "")
    return (words, typical) if typical else ("", "")


def noun_phrase(words: str) -> tuple[str, bool]:
    """Words with the article that they take, if any, and whether they are a plural."""
    head = re.split(r" (?:of|in|on|with|from|at|for|by|to) ", words)[0].split()[-1]
    plural = is_plural(head)
    first = words.split()[0]
    if first in _DETERMINERS or plural or head in MASS or (head.endswith("ing") and head not in COUNTABLE_ING):
        return words, plural
    return f"{article(words)} {words}", False


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
    if base.endswith(("s", "x", "z", "ch", "sh", "o")) and base != "moo":
        base += "es"
    elif base.endswith("y") and base[-2:-1] not in ("a", "e", "o", "u"):
        base = base[:-1] + "ies"
    else:
        base += "s"
    return f"{base}{space}{rest}"


_FORMS = {form: verb for verb in sorted(VERBS) for form in (verb, third_person(verb), gerund(verb))}
