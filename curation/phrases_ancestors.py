"""Which clusters of a dataset contain which: what is stated, what a model claims besides, and what follows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from curation.phrases_review import AGAINST, CIRCLE, Finding

Pair = tuple[str, str]  # a cluster, and one above it


def ancestors(stated: Iterable[Pair], claimed: Iterable[Pair], findings: list[Finding]) -> dict[str, set[str]]:
    """All clusters above each; never one above itself.

    Args:
        stated: by an ontology or a correction.
        claimed: by a model. What is against a statement is not taken.
        findings: gets what is left out: pairs in a circle are, all of them.
    """
    firm = _without_circles(_closed(stated), findings)
    claims = {(low, high) for low, high in claimed if low != high}
    for low, high in sorted(claim for claim in claims if (claim[1], claim[0]) in firm):
        findings.append(Finding(rule=AGAINST, cluster=low, text=high))
        claims.discard((low, high))
    everything = _closed(firm | claims)
    circular = {(low, high) for low, high in everything if (high, low) in everything}
    findings += _reported(circular - firm - {(high, low) for low, high in firm})
    above: dict[str, set[str]] = defaultdict(set)
    for low, high in _closed(firm | (claims - circular)):
        above[low].add(high)
    return dict(above)


def below(above: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """The same the other way round."""
    found: dict[str, set[str]] = defaultdict(set)
    for low, highs in above.items():
        for high in highs:
            found[high].add(low)
    return dict(found)


def _without_circles(pairs: set[Pair], findings: list[Finding]) -> set[Pair]:
    circular = {(low, high) for low, high in pairs if (high, low) in pairs}
    findings += _reported(circular)
    return pairs - circular


def _reported(circular: Iterable[Pair]) -> list[Finding]:
    return [Finding(rule=CIRCLE, cluster=low, text=high) for low, high in sorted(circular) if low < high]


def _closed(pairs: Iterable[Pair]) -> set[Pair]:
    """The pairs, and those that follow from them."""
    steps: dict[str, set[str]] = defaultdict(set)
    for low, high in pairs:
        steps[low].add(high)
    found: set[Pair] = set()
    for low in list(steps):
        seen: set[str] = set()
        waiting = list(steps[low])
        while waiting:
            if (high := waiting.pop()) not in seen:
                seen.add(high)
                waiting += steps.get(high, ())
        found |= {(low, high) for high in seen - {low}}
    return found
