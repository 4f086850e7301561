"""A label -> words for a sentence: "dog_bark" -> "a dog bark", "a dog barking", "a dog barks".

English has no rule that is always right, so three kinds of knowledge are tried in turn: labels of
well-known corpora that need other words, small sets of sound words, and general rules. A wrong
guess must still read as English.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass

from curation.label_words import KNOWN_ACTS, KNOWN_NOUNS, PEOPLE, PLACES, TYPICAL_ACTS
from curation.sound_words import (
    ANIMATE,
    COUNTABLE_ING,
    DOUBLING,
    FRONT_VERBS,
    GERUND_ONLY,
    HAPPENINGS,
    HUMAN_VERBS,
    LASTING,
    LASTING_VERBS,
    MANNERS,
    MASS,
    PLURALS,
    SINGULAR_S,
    TRANSITIVE,
    VERBS,
)
from curation.source_clip import UNLABELLED
from manifests.schema import Background

_LONGEST_NOUN = 4  # words; a longer label is a description, and no article can be guessed for it
_AN = re.compile(r"(?:[aeiou]|hour|honest|honou?r|heir|8|11\b|18\b|(?:[fhlmnrsx]|fm|hvac|lp|mp3|mri|sos)\b)")
_NOT_AN = re.compile(r"(?:eu|ewe|one\b|once|u\b|ubi|uku|uni(?!n|m)|ura|uri|us[aeu]|uten|util)")
_DETERMINERS = frozenset("a an the some my his her their many several two three someone something being going".split())
_PREPOSITION = re.compile(r" (in|on|with|from|at|for|by|to|under|through|over|against|into|of) ")


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
    many: str = ""  # several of it: "dog barks"; empty if it is no single happening

    @property
    def doing(self) -> str:
        """A noun phrase with the act: "a dog barking"; just the noun if the act is not known."""
        return f"{self.subject} {gerund(self.verb)}" if self.verb else self.noun

    @property
    def bare(self) -> str:
        """The noun without its article, as headlines and tags have it: "dog bark"."""
        return _bare(self.noun)

    def called(self, adjective: str) -> str:
        """The noun with an adjective of sounds: "a faint dog bark", "the faint sound of a dog barking"."""
        if self.noun.startswith("the sound"):
            return f"the {adjective} {self.noun.removeprefix('the ')}"
        if self.noun == self.doing and self.verb:  # "a faint dog barking" would be a faint dog
            return f"the {adjective} sound of {self.noun}"
        bare = f"{adjective} {self.bare}"
        return bare if self.bare == self.noun else f"{article(bare)} {bare}"

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
        return self.noun if self.noun.startswith("the sound") else f"the sound of {self.noun}"

    @property
    def place(self) -> str:
        """Where one is, if the label names a place: "in a cafe"; else empty."""
        preposition = PLACES.get(self.words.rsplit(" ", 1)[-1], "")
        return f"{preposition} {noun_phrase(self.words)[0]}" if preposition else ""


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
    listed = re.sub(r"[ _]*\(.*?\)", "", label) or label  # "Chopping (food)" is chopping
    if listed[:1].isupper() and " " not in listed:
        listed = listed.replace("_and_", ",")  # FSD50K's comma
    meanings = re.split(r"[,;|/]", listed)
    if len(meanings) == 1:
        named = plain_words(listed).split(" and ")
        meanings = named if len(named) > 2 else meanings  # "rock and roll" is one thing
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
    last = words.rsplit(" ", 1)[-1]
    if last in PLACES and not verb:
        return Wording(words=words, noun=f"the sounds of {noun}", plural=True, lasting=True)
    who, who_plural = PEOPLE.get(subject) or noun_phrase(subject) if verb else ("", False)
    replaced = words in KNOWN_ACTS or (last.endswith("ing") and " " in words and not words.endswith(subject))
    if verb and replaced and words not in KNOWN_NOUNS:  # the act is the better noun
        noun, plural = f"{who} {gerund(verb)}", who_plural
    base = verb.partition(" ")[0]
    return Wording(
        words=words,
        noun=noun,
        plural=plural,
        subject=who,
        verb=verb,
        subject_plural=who_plural,
        lasting=(base in LASTING_VERBS or last in LASTING) and last not in HAPPENINGS,
        many=_many(noun) if not base or base not in LASTING_VERBS else "",
    )


def _bare(noun: str) -> str:
    return re.sub("^(?:an?|the) ", "", noun)


def _many(noun: str) -> str:
    """Several of what the noun names, if that is a single happening: "a gunshot" -> "gunshots"."""
    head, preposition, tail = _parted(_bare(noun))
    before, space, last = head.rpartition(" ")
    countable = last in HAPPENINGS and noun.startswith(("a ", "an "))
    return f"{before}{space}{third_person(last)}{preposition}{tail}" if countable else ""


def _parted(words: str) -> tuple[str, str, str]:
    """Words up to their first preposition, this with its spaces, and the rest."""
    parts = _PREPOSITION.split(words, maxsplit=1)
    return (parts[0], f" {parts[1]} ", parts[2]) if len(parts) == 3 else (words, "", "")


def _act(words: str) -> tuple[str, str]:
    """Who does what, as (subject without article, base verb); empty if the words don't tell."""
    if words in KNOWN_ACTS:
        return KNOWN_ACTS[words]
    head, preposition, tail = _parted(words)
    if preposition == " of ":
        return "", ""
    if preposition:
        subject, verb = _act(head)
        return (subject, f"{verb}{preposition}{noun_phrase(tail)[0]}") if verb else ("", "")
    return _done(words) or _typical(words)


def _done(words: str) -> tuple[str, str] | None:
    """Who does what where a verb is among the words."""
    first, _, rest = words.partition(" ")
    before, _, last = words.rpartition(" ")
    verb = _FORMS.get(last, "")
    done = last == gerund(verb)
    if before in MANNERS:
        return ("someone", f"{verb} {MANNERS[before]}") if verb in HUMAN_VERBS else None
    if verb and before and verb in TRANSITIVE:
        return ("someone", f"{verb} {noun_phrase(before)[0]}") if done else None
    if verb and before and (done or verb not in GERUND_ONLY) and not before.endswith("ing"):
        return before, verb
    if not before and verb in HUMAN_VERBS and (done or verb not in GERUND_ONLY):
        return ("someone", verb) if done else None
    verb = _FORMS.get(first, "")
    if rest and verb in TRANSITIVE and first == gerund(verb) and noun_phrase(rest)[0] == rest:  # but "washing machine"
        return "someone", f"{verb} {rest}"
    if rest.split(" ")[0] in _DETERMINERS and first == gerund(verb):
        return "someone", f"{verb} {rest}"
    if rest and first == gerund(verb) and (verb in FRONT_VERBS or rest.rsplit(" ", 1)[-1] in ANIMATE):
        return rest, verb
    return None


def _typical(words: str) -> tuple[str, str]:
    typical = TYPICAL_ACTS.get(words) or TYPICAL_ACTS.get(words.rsplit(" ", 1)[-1], "")
    return (words, typical) if typical else ("", "")


def noun_phrase(words: str) -> tuple[str, bool]:
    """Words with the articles that they take, if any, and whether they are a plural."""
    surface = re.fullmatch(r"(footsteps) (\w+)", words)
    head, preposition, tail = (surface[1], " on ", surface[2]) if surface else _parted(words)
    first, last = head.split()[0], head.split()[-1]
    plural = is_plural(last)
    rest = f"{preposition}{noun_phrase(tail)[0]}" if tail and preposition not in (" of ", " to ", " for ") else ""
    whole = f"{head}{rest or preposition + tail}"
    is_act = last.endswith("ing") and last not in COUNTABLE_ING
    acts_on = first.endswith("ing") and first != head and head.split()[1] in _DETERMINERS
    if first in _DETERMINERS or plural or last in MASS or is_act or acts_on:
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


_FORMS = {
    form: verb for verb in sorted(VERBS | HUMAN_VERBS | TRANSITIVE) for form in (verb, third_person(verb), gerund(verb))
}
