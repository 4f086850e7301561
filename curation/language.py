"""Is a text in English? By words that are frequent in some languages, and without a model."""

from collections.abc import Set as AbstractSet

from curation.stems import stem, tokens
from curation.vocabulary import vocabulary

_LEAST_ENGLISH = 0.34  # share of the words; names of sounds that no list knows are the rest
_LEAST_LATIN = 0.9  # share of the letters

_ENGLISH = frozenset(
    "a about above across after again against ahead all almost along already also although always am amid amidst among"
    " an and another any anyone anything apart are aren't around as aside at away back background be because become been"
    " before begin behind being below beneath beside besides between beyond big both brief briefly bright brisk bring but"
    " by can clear clearly close closely come constant continue continuous could day deep different distant do does done"
    " double down during each early either else empty end ends enough even eventually every everything faint faintly fall"
    " far fast few final finally finish first five follow for four from front full further gentle gently get give go"
    " gradual group half hand happen hard has have having he hear heard heavily heavy her here high his hit hold how if in"
    " indoor inside intermittent into is isn't it its itself just keep last late later leave left light like little lively"
    " local long loud loudly low main make man many mark mean mid middle midway moment more most much muffled my near"
    " nearby neither never new next no nobody none noise nor not nothing now occasional of off often old on once one only"
    " onto open or other others otherwise our out outdoor over own pair part pass pause people person pick piece place"
    " plus point put quick quickly quiet quietly quite rapid rapidly rather real repeat repeatedly rest rhythmic right"
    " rising room round same second see separate series set several sharp sharply she short shortly show side silence"
    " single six slight slightly slow slowly small smooth so soft softly some somebody someone something somewhere soon"
    " sound space stay steadily steady still stop strong such sudden suddenly surface take than that the their them then"
    " there these they thing this those though three through throughout time till to together toward towards turn twice"
    " two under underneath until up upon us use various very was way we well were what when where whether which while"
    " white who whole wide will with within without woman work would yet you young your".split()
)
# Frequent words of languages in Latin script; none that is an English word, or one of a common label.
_FOREIGN = frozenset(
    # Spanish, Portuguese, Italian, French, Catalan, Romanian
    "el los las una unos unas y del que en por con para su sus se lo le les como mientras luego despues antes hay esta"
    " este suena suenan sonido ruido perro bajo sobre um uma os na nos nas ao aos pelo pela enquanto depois som seu sua"
    " est\u00e1 n\u00e3o il gli uno una di del della dei delle degli nel nella che mentre poi dopo prima si sono suono un une des du"
    " et dans avec pour sur pendant puis apr\u00e8s avant tandis est sont qui au aux ses chien bruit et\u00e9 elle ils els amb mentre"
    " o \u00een \u0219i apoi timp ce care este pe la cu dintr"
    # German, Dutch, Scandinavian
    " der das dem den des ein eine einen einem einer eines und mit von vom zu zum zur im am auf ist sind w\u00e4hrend dann danach"
    " nachdem bevor jemand nicht bei aus nach als auch sich es wird werden het een van en naar met terwijl daarna iemand"
    " tijdens dan wordt zijn op voor niet ook och en ett som med p\u00e5 av f\u00f6r n\u00e5gon medan sedan d\u00e4refter er et og mens deretter"
    " noen af til mens ikke ei ja sitten kun joku samalla kun"
    # Polish, Czech, Croatian, Hungarian, Turkish, Indonesian, Vietnamese, Swahili, Tagalog, pinyin, romaji, Russian
    " i w na z ze jest kto\u015b kto si\u0119 po oraz podczas potem gdy nad pod nie to a\u017c do je se kdy\u017e pak n\u011bkdo dok zatim netko"
    " egy az \u00e9s majd k\u00f6zben ve bir sonra ile iken sesi yang dan di dengan sedang kemudian saat seorang suara m\u1ed9t v\u00e0 trong"
    " khi na ya wa kisha huku ang ng mga sa habang de zai le zhe he yi ge ta shi ran hou sheng yin gou jiao yu xia de ga"
    " wo no ni wa ga suru naku oto nagara sobaka layet dozhd idet potom".split()
) - frozenset("a i to on in is at no do die war den to son pan hat van am so as an by my".split())
_BORROWED = frozenset(
    {
        "caf\u00e9",
        "caf\u00e9s",
        "na\u00efve",
        "cr\u00e8me",
        "d\u00e9cor",
        "fianc\u00e9e",
        "saut\u00e9",
        "saut\u00e9ed",
        "saut\u00e9s",
    }
)


def is_english(text: str, *, given: AbstractSet[str] = frozenset()) -> bool:
    """Whether enough of a text is English; one without words is.

    Args:
        text: the text.
        given: stems of words that tell nothing, whatever their language: those of the labels.
    """
    words = [token for token in tokens(text) if token.stem and token.stem not in given and not token.text.isdigit()]
    letters = [char for token in words for char in token.text if char.isalpha()]
    if sum(_is_latin(char) for char in letters) < _LEAST_LATIN * len(letters):
        return False
    known = vocabulary()
    english = foreign = 0
    for token in words:
        if token.text in _ENGLISH or token.stem in _STEMS or known.knows(token.stem):
            english += 1
        elif token.text in _FOREIGN or not (token.text.isascii() or token.text in _BORROWED):
            foreign += 1
    if foreign > max(1.0, english / 3):
        return False
    return len(words) < 3 or english >= _LEAST_ENGLISH * len(words)


def _is_latin(char: str) -> bool:
    return ord(char) < 0x250 or 0x1E00 <= ord(char) < 0x1F00


_STEMS = frozenset(stem(word) for word in _ENGLISH)
