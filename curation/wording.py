"""A label -> words for a sentence: "dog_bark" -> "a dog bark", "a dog barking", "a dog barks".

English has no rule that is always right, so three kinds of knowledge are tried in turn: labels of
well-known corpora that need other words, small sets of sound words, and general rules. A wrong
guess must still read as English.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass

from curation.grammar import article, bare, gerund, many_of, noun_phrase, parted, third_person
from curation.label_words import KNOWN_ACTS, KNOWN_NOUNS, PEOPLE, PLACES, TYPICAL_ACTS
from curation.sound_words import (
    ANIMATE,
    DETERMINERS,
    FRONT_VERBS,
    GERUND_ONLY,
    HAPPENINGS,
    HUMAN_VERBS,
    LASTING,
    LASTING_VERBS,
    MANNERS,
    TRANSITIVE,
    VERBS,
)
from curation.source_clip import UNLABELLED
from manifests.schema import Background

_LONGEST_NOUN = 4  # words; a longer label is a description, and no article can be guessed for it


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
        return bare(self.noun)

    def called(self, adjective: str) -> str:
        """The noun with an adjective of sounds: "a faint dog bark", "the faint sound of a dog barking"."""
        if self.noun.startswith("the sound"):
            return f"the {adjective} {self.noun.removeprefix('the ')}"
        if self.noun == self.doing and self.verb:  # "a faint dog barking" would be a faint dog
            return f"the {adjective} sound of {self.noun}"
        bare = f"{adjective} {self.bare}"
        if self.bare == self.noun:
            return bare
        return f"the {bare}" if self.noun.startswith("the ") else f"{article(bare)} {bare}"

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
        return (
            self.noun
            if self.noun.startswith("the sound") or self.noun.endswith(" sounds")
            else f"the sound of {self.noun}"
        )

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
        many=many_of(noun) if not base or base not in LASTING_VERBS else "",
    )


def _act(words: str) -> tuple[str, str]:
    """Who does what, as (subject without article, base verb); empty if the words don't tell."""
    if words in KNOWN_ACTS:
        return KNOWN_ACTS[words]
    head, preposition, tail = parted(words)
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
    if rest.split(" ")[0] in DETERMINERS and first == gerund(verb):
        return "someone", f"{verb} {rest}"
    if rest and first == gerund(verb) and (verb in FRONT_VERBS or rest.rsplit(" ", 1)[-1] in ANIMATE):
        return rest, verb
    return None


def _typical(words: str) -> tuple[str, str]:
    typical = TYPICAL_ACTS.get(words) or TYPICAL_ACTS.get(words.rsplit(" ", 1)[-1], "")
    return (words, typical) if typical else ("", "")


_FORMS = {
    form: verb for verb in sorted(VERBS | HUMAN_VERBS | TRANSITIVE) for form in (verb, third_person(verb), gerund(verb))
}
