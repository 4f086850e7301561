"""English sound words by kind, for `curation.wording`. Few on purpose: rules take the rest."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Uncountable: no article, "is".
MASS = _words(
    "air ambience ambiance applause audio babble chatter clutter debris electricity foliage"
    " food glass gravel gunfire hail ice laughter light livestock machinery mastication metal"
    " music noise nothing paper percussion pottery poultry rain rainfall drizzle respiration"
    " sand silence singing sleet smoke snow speech static steam surf thunder tone traffic water"
    " weather wildlife wind wood rustling"
)
# Plurals without -s; "are".
PLURALS = _words("people children men women teeth feet geese mice oxen police cattle")
SINGULAR_S = _words("gas bus news lens canvas christmas series has was yes chaos atlas alas")
# Countable though they end in -ing.
COUNTABLE_ING = _words("ring king wing string spring swing thing building ceiling sling ping bing ding sting")

# Verbs of sounds that happen by themselves: "a dog barks", "a door creaks". None that needs an
# object or a place (knock, type), and none whose noun comes after another noun without being done
# by it ("wind chime", "bass drum").
VERBS = _words(
    "applaud bark bawl beep blare bleat blow boil boom breathe bubble burp buzz cackle caw chat"
    " cheer chew chirp chuckle clang clap clatter clink cluck coo cough crackle crash creak"
    " croak crow crumple crunch cry drip drone explode fall fizz flap flush fry gasp giggle"
    " grind groan growl grunt gurgle hiccup hiss honk hoot howl hum idle laugh meow moan moo"
    " neigh oink pant pass play pour purr quack rattle rev ring roar rumble run rustle scream"
    " screech shatter shout sigh sing sizzle slam snarl sneeze snore snort sob speak splash"
    " squawk squeak squeal start sniff talk thud thump tick trickle tweet twitter wail walk"
    " wheeze whimper whine whinny whir whisper whistle whoosh yap yawn yell yelp break"
)
# Their plain form is as often a noun of another kind ("key ring", "coffee break"): only the -ing
# form counts.
GERUND_ONLY = _words("ring break play pass fall run start walk pour talk chat blow grind boil idle fry crow splash")
# Done by people when nothing else is said: "coughing" -> "someone coughing".
HUMAN_VERBS = _words(
    "breathe burp chat chew chuckle clap cough cry gasp giggle hiccup laugh shout sigh sing"
    " sneeze sniff snore sob speak talk walk whisper whistle yawn yell scream"
)
# Before a noun these say what it does ("crying baby"); others may name a thing ("singing bowl",
# "frying pan").
FRONT_VERBS = VERBS - _words("sing play talk speak walk run fry grind pass start drone whistle clap chat chew fall")
ANIMATE = _words(
    "adult baby babies bird birds boy boys cat cats child children crowd dog dogs female girl"
    " girls male man men person people water woman women"
)
DOUBLING = _words("clap drip flap hum rev run slam sob yap chat whir sip tap pat")

# Subjects that stand for somebody: (noun phrase, plural).
PEOPLE = {
    "female": ("a woman", False),
    "male": ("a man", False),
    "human": ("a person", False),
    "someone": ("someone", False),
    "something": ("something", False),
}

# What a thing usually does, by its last word or by all of its words.
TYPICAL_ACTS = {
    "bee": "buzz",
    "bees": "buzz",
    "bell": "ring",
    "bells": "ring",
    "bird": "chirp",
    "birds": "chirp",
    "car horn": "honk",
    "cat": "meow",
    "clock": "tick",
    "cow": "moo",
    "cricket": "chirp",
    "crickets": "chirp",
    "crow": "caw",
    "dishes": "clatter",
    "dog": "bark",
    "doorbell": "ring",
    "duck": "quack",
    "fireworks": "explode",
    "fly": "buzz",
    "frog": "croak",
    "goose": "honk",
    "hen": "cluck",
    "horse": "neigh",
    "insects": "buzz",
    "lion": "roar",
    "owl": "hoot",
    "pig": "grunt",
    "rain": "fall",
    "rooster": "crow",
    "sheep": "bleat",
    "siren": "wail",
    "snake": "hiss",
    "telephone": "ring",
    "phone": "ring",
    "thunder": "rumble",
    "waves": "crash",
    "wind": "blow",
    "wolf": "howl",
}

# Labels of common corpora whose words don't say who does what, or say it in another order:
# (subject, verb).
KNOWN_ACTS = {
    "brushing teeth": ("someone", "brush their teeth"),
    "child speech": ("child", "speak"),
    "door wood creaks": ("wooden door", "creak"),
    "drinking sipping": ("someone", "sip a drink"),
    "female speech": ("female", "speak"),
    "frying": ("food", "sizzle"),
    "keyboard typing": ("someone", "type on a keyboard"),
    "male speech": ("male", "speak"),
    "speech": ("someone", "speak"),
    "typing": ("someone", "type"),
}
# The same, where another noun phrase is all that is needed: (noun phrase, plural).
KNOWN_NOUNS = {
    "can opening": ("a can being opened", False),
    "clock alarm": ("an alarm clock", False),
    "door wood knock": ("a knock on a wooden door", False),
    "electric shaver toothbrush": ("an electric shaver or toothbrush", False),
    "frying": ("frying food", False),
    "gun shot": ("a gunshot", False),
    "speech": ("speech", False),
    "thunderstorm": ("a thunderstorm", False),
    "walk and footsteps": ("footsteps", True),
}

# Places, by their last word, with the preposition that they take.
PLACES = {
    "airport": "at",
    "bar": "in",
    "bathroom": "in",
    "beach": "on",
    "cafe": "in",
    "caf\u00e9": "in",
    "classroom": "in",
    "factory": "in",
    "field": "in",
    "forest": "in",
    "garden": "in",
    "jungle": "in",
    "kitchen": "in",
    "library": "in",
    "mall": "in",
    "market": "at",
    "office": "in",
    "park": "in",
    "playground": "at",
    "restaurant": "in",
    "room": "in",
    "stadium": "in",
    "station": "at",
    "street": "on",
    "supermarket": "in",
}
