"""English sound words by kind, for `curation.wording`. Few on purpose: rules take the rest.

Whole labels and things are in `curation.label_words`.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Uncountable: no article, "is".
MASS = _words(
    "air ambience ambiance applause audio babble birdsong bluegrass cacophony ceramic chalk chatter clutter cutlery"
    " dirt disco debris distortion dubstep electricity flatulence foliage food fowl funk gibberish glass grass"
    " gravel gunfire hail hubbub ice jazz laughter light livestock machinery mastication metal music nature noise"
    " nothing paper percussion pottery poultry rain rainfall drizzle reggae respiration reverberation rock sand"
    " silence singing sleet smoke snow speech static steam surf techno thunder tone traffic transport underwater"
    " water weather wildlife wind wood rustling"
)
# Plurals without -s; "are".
PLURALS = _words("people children men women teeth feet geese mice oxen police cattle outdoors indoors")
SINGULAR_S = _words("gas bus news lens canvas christmas series has was yes chaos atlas alas")
# Countable though they end in -ing.
COUNTABLE_ING = _words(
    "ring king wing string spring swing thing building ceiling sling ping bing ding sting zing boing"
)

# Verbs of sounds that happen by themselves: "a dog barks", "a door creaks". None that needs an
# object or a place (knock, type), and none whose noun comes after another noun without being done
# by it ("wind chime", "bass drum").
VERBS = _words(
    "applaud bark bawl beep blare bleat blow boil boom breathe bubble burn burp buzz cackle call caw chat cheer"
    " chew chirp chuckle clang clap clatter click clink close cluck coo cough crackle crash creak croak crow crumple"
    " crunch cry drip drone drop explode fall fizz flap flow flush fry gallop gasp giggle gobble grind groan growl"
    " grunt gurgle hiccup hiss honk hoot howl hum idle inflate jangle laugh meow moan moo neigh oink open pant pass"
    " peck play pour purr quack rattle rev ring roar rumble run rustle scream screech shatter shout shut sigh sing"
    " sizzle slam snarl sneeze snore snort sob speak spin splash squawk squeak squeal start sniff talk thud thump"
    " tick trickle trumpet tweet twitter wail walk wheeze whimper whine whinny whir whisper whistle whoosh yap yawn"
    " yell yelp break"
)
# Their plain form is as often a noun of another kind ("key ring", "coffee break"): only the -ing
# form counts.
GERUND_ONLY = _words(
    "ring break play pass fall run start walk pour talk chat blow grind boil idle fry crow splash burn call click"
    " close drop flow inflate open saw shut spin swim trumpet vomit whistle write yell bite eat chop cock crush cut"
    " dial fold rub scratch sharpen shuffle slice stir strike sweep tap tear wash"
)
# Done by people when nothing else is said: "coughing" -> "someone coughing".
HUMAN_VERBS = _words(
    "bite breathe burp chat chew chuckle clap cough cry eat gasp giggle groan grunt hiccup laugh pant run saw shout"
    " sigh sing sneeze sniff snore sob speak swim talk vomit walk wheeze whisper whistle write yawn yell scream"
)
# What somebody does to the thing named before it: "wood chopping" -> "someone chopping wood".
TRANSITIVE = _words("chop cock crush cut fold rub scratch sharpen shuffle slice stir strike sweep tap tear wash")
# In front of an act they say how it is done: "heavy breathing" -> "someone breathes heavily".
MANNERS = {"heavy": "heavily", "loud": "loudly", "quiet": "quietly", "soft": "softly"}
# Verbs and nouns of sounds that go on rather than happen: nobody counts them.
LASTING_VERBS = _words(
    "babble blow boil breathe brush bubble burn buzz chat chew crackle drone fall flow fly fry gallop grind hum"
    " idle play pour purr roll run rustle sizzle snore speak swim talk tick trickle type walk whir write"
)
LASTING = _words(
    "air aircraft airplane ambience ambulance applause breathing birdsong bus car chainsaw chatter cicadas"
    " compressor computer conversation crickets crowd dishwasher drill dryer engine fan fire fireplace footsteps"
    " frying hairdryer heater helicopter humming insects jackhammer lawnmower machine machinery microwave motorcycle"
    " mower music noise ocean oven plane printer radio rain rainfall rapping refrigerator river room running saw sea"
    " sewing shaver shower silence singing snoring speech static stream surf swimming television thunderstorm"
    " toothbrush traffic train truck typing vehicle walking water waterfall waves wind"
)
# Nouns of sounds that happen, so that several of them are "three gunshots".
HAPPENINGS = _words(
    "bang bark beep bleat boom bray bump burp call chime chirp clang clank clap clatter click clink clunk cough"
    " crack crash creak croak crunch ding explosion fart gasp growl grunt gunshot hiccup hiss honk hoot howl knock"
    " meow moan neigh oink ping plop pop press quack roar scratch scream screech shout sigh slam smash snap snarl"
    " sneeze sniff snort splash squawk squeak squeal thud thump whistle whoosh yelp yell"
)
# Before a noun these say what it does ("crying baby"); others may name a thing ("singing bowl",
# "frying pan").
FRONT_VERBS = VERBS - _words(
    "sing play talk speak walk run fry grind pass start drone whistle clap chat chew fall open close"
)
ANIMATE = _words(
    "adult baby babies bird birds boy boys cat cats child children crowd dog dogs female girl girls male man men"
    " person people water woman women"
)
# Their last letter doubles: "humming".
DOUBLING = _words(
    "chop clap cut dig drip drop flap hum rev rub run shut slam snap snip sob spin stir swim tap yap chat whir sip pat"
)
INSTRUMENTS = _words(
    "accordion banjo cello clarinet flute guitar harmonica harp mandolin orchestra organ piano saxophone sitar"
    " synthesizer trombone trumpet ukulele violin"
)
DETERMINERS = _words("a an the some my his her their many several two three someone something being going")
