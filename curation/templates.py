"""A soundscape -> captions and phrases in plain English, without a language model.

What is said is drawn; all of it is true of what was measured (`curation.scene`). What may go unnoticed is left out.
"""

import random

from curation.heard import sounds
from curation.scene import scene_of
from curation.template_counts import counts
from curation.template_sentence import only_background, sentence
from curation.template_short import phrase, terse
from curation.template_temporal import temporal
from manifests.schema import Soundscape

_WRITERS = {"sentence": sentence, "terse": terse, "temporal": temporal, "counts": counts}
STYLES = tuple(_WRITERS)


def template_caption(soundscape: Soundscape, *, seed: int, style: str = "sentence") -> str:
    """A caption that depends only on the soundscape's id, labels, times and levels, on the seed and the style.

    Args:
        soundscape: in any order of its events.
        seed: of what is said and how.
        style: "sentence" (what happens), "terse" (a few words, no full stop), "temporal" (when) or "counts" (how many
            times and how loud).

    Raises:
        KeyError: there is no such style.
    """
    write = _WRITERS[style]
    rng = random.Random(f"{seed}:{style}:{soundscape.soundscape_id}")  # a string seeds alike on every machine
    scene = scene_of(soundscape)
    text = write(scene, rng) if scene.mentions else only_background(scene, rng)
    return text[0].upper() + text[1:] + ("" if style == "terse" else ".")


def template_phrase(soundscape: Soundscape, cluster: str, *, seed: int) -> str:
    """Two to 13 words about one of its sounds, without a full stop: "a dog barking twice".

    Raises:
        KeyError: the soundscape has no such sound.
    """
    rng = random.Random(f"{seed}:phrase:{cluster}:{soundscape.soundscape_id}")
    by_cluster = {sound.cluster: sound for sound in sounds(soundscape)}
    sound = by_cluster[cluster]
    mention = next((one for one in scene_of(soundscape).mentions if one.sound.cluster == cluster), None)
    return phrase(sound.label, mention, rng)
