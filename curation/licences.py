"""Licences as people write them -> the few families that a bank can be restricted to."""

import difflib
import re
from urllib.parse import unquote

from manifests.errors import FlamError

FAMILIES = (
    "cc0",
    "public-domain",
    "cc-by",
    "cc-by-sa",
    "cc-by-nd",
    "cc-by-nc",
    "cc-by-nc-sa",
    "cc-by-nc-nd",
    "cc-sampling+",
)
OTHER = "other"  # none of these, or terms beside them

_ADDRESS = re.compile(r"creativecommons\.org/(?:licenses|publicdomain)/([a-z+-]+)/([0-9.]+)")
# All below is met in lower case, with one hyphen for whatever separates words.
_CC0 = re.compile(r"\bcc-?(?:0|zero)\b|creative-commons-(?:0|zero)\b|public-?domain-(?:zero|dedication)\b")
_PUBLIC_DOMAIN = re.compile(r"\bpublic-?domain\b")
_SAMPLING = re.compile(r"\bsampling-?(?:\+|plus\b)")
_NC, _SA, _ND = r"nc\b|non-?commercial\b", r"sa\b|share-?alike\b", r"nd\b|no-?deriv[a-z]*"
_TERMS = rf"((?:-(?:{_NC}|{_SA}|{_ND}))*)"
_BY = re.compile(rf"(?:(?:\bcc-?|creativecommons\.org-licenses-|creative-commons-|^)by\b|\battribution\b){_TERMS}")
_MORE = re.compile(rf"\b(?:{_NC}|{_SA}|{_ND}|[al]?gpl|mit\b|bsd|apache|odbl|odc|proprietary|unknown|all-rights)")


def families(licence: str) -> set[str]:
    """The families that a licence's text names, or OTHER for what is none; empty if it says nothing that is known.

    A text that names several, or further terms, leaves open which hold: whoever takes it needs to want them all.
    """
    text = re.sub(r"[\s_/:–-]+", "-", unquote(licence).casefold().strip())
    found = set()
    for pattern, family in ((_CC0, "cc0"), (_PUBLIC_DOMAIN, "public-domain"), (_SAMPLING, "cc-sampling+")):
        text, count = pattern.subn(" ", text)
        if count:
            found.add(family)
    found.update(_by(match[1]) for match in _BY.finditer(text))
    return found | {OTHER} if _MORE.search(_BY.sub(" ", text)) else found


def parse_families(text: str) -> tuple[str, ...]:
    """The families in `cc0,cc-by`; raises FlamError for one that there is not, with the nearest that there is."""
    names = sorted({name.strip().casefold() for name in text.split(",") if name.strip()})
    if not names:
        raise FlamError(f"no licence family is named; there are {', '.join(FAMILIES)}: separate them by commas")
    for name in names:
        if name not in FAMILIES:
            (nearest,) = difflib.get_close_matches(name, FAMILIES, n=1, cutoff=0)
            raise FlamError(f"no licence family {name!r}; did you mean {nearest}? There are {', '.join(FAMILIES)}")
    return tuple(names)


def short_name(licence: str) -> str:
    """`CC BY-NC 3.0` for Creative Commons' address of it; any other text as it is."""
    found = _ADDRESS.search(unquote(licence))
    if not found:
        return licence
    name, version = found[1], found[2]
    return f"CC0 {version}" if name == "zero" else f"CC {name.upper().replace('SAMPLING', 'Sampling')} {version}"


def _by(terms: str) -> str:
    parts = (("nc", _NC), ("sa", _SA), ("nd", _ND))
    return "-".join(["cc-by", *(name for name, pattern in parts if re.search(rf"-(?:{pattern})", terms))])
