"""Where a server is, from what a user typed, which may hold a password or a key: no message repeats it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from manifests.errors import FlamError


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A base URL in its parts."""

    url: str  # without a query: paths are added to its end
    query: Mapping[str, str]  # of every call
    shown: str  # scheme, host and port: what a message may say


def address_of(base_url: str) -> Address:
    """The parts of a base URL; raises FlamError for one that no call could reach."""
    text = base_url.strip()
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
        host.encode("idna")  # no empty names between dots, none too long
    except ValueError:
        raise _unusable() from None
    is_host = bool(re.fullmatch(r"[\w.:%-]+", host, re.ASCII)) or not host.isascii()
    is_text = text.isprintable() and " " not in text
    if not (is_text and is_host and url.scheme in ("http", "https") and port != 0 and not url.fragment):
        raise _unusable()
    return Address(
        url=urlunsplit((url.scheme, url.netloc, url.path, "", "")),
        query=dict(parse_qsl(url.query, keep_blank_values=True)),
        shown=f"{url.scheme}://{url.netloc.rpartition('@')[2]}",
    )


def _unusable() -> FlamError:
    return FlamError(
        "the base URL is no address of a server; give --base-url (or OPENAI_BASE_URL) as in http://localhost:8000/v1"
    )
