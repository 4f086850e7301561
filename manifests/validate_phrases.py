"""Every rule that a phrase table must meet."""

from collections.abc import Iterator, Sequence

from manifests.schema import ORIGINS, Phrase

Finding = tuple[str, str]  # field, what


def check_phrases(phrases: Sequence[Phrase]) -> Iterator[tuple[Phrase, list[Finding]]]:
    """Each row with the rules that it breaks, alone or beside the others."""
    first: dict[str, Phrase] = {}  # of each cluster
    cluster_of: dict[str, str] = {}
    for phrase in phrases:
        first.setdefault(phrase.cluster, phrase)
        cluster_of.setdefault(phrase.phrase, phrase.cluster)
    for phrase in phrases:
        findings = list(_check_row(phrase))
        if (other := cluster_of[phrase.phrase]) != phrase.cluster:
            findings.append(("phrase", f"belongs to clusters {other!r} and {phrase.cluster!r}"))
        findings += [
            (field, f"are others than in the first row of cluster {phrase.cluster!r}")
            for field in ("ancestors", "near_misses")
            if getattr(phrase, field) != getattr(first[phrase.cluster], field)
        ]
        for ancestor in phrase.ancestors:
            if ancestor not in first:
                findings.append(("ancestors", f"name {ancestor!r}, a cluster without a phrase"))
            elif ancestor != phrase.cluster and phrase.cluster in first[ancestor].ancestors:
                findings.append(("ancestors", f"name {ancestor!r}, whose ancestor {phrase.cluster!r} is"))
        findings += [
            ("near_misses", f"name {text!r}, a phrase of the same cluster")
            for text in phrase.near_misses
            if cluster_of.get(text) == phrase.cluster
        ]
        yield phrase, findings


def _check_row(phrase: Phrase) -> Iterator[Finding]:
    """The rules that one row can break by itself."""
    for field in ("phrase", "label", "cluster"):
        if not getattr(phrase, field).strip():
            yield field, "is empty"
    if phrase.origin not in ORIGINS:
        yield "origin", f"{phrase.origin!r} is none of {', '.join(ORIGINS)}"
    if phrase.cluster in phrase.ancestors:
        yield "ancestors", f"name the phrase's own cluster {phrase.cluster!r}"
    if not all(text.strip() for text in phrase.near_misses):
        yield "near_misses", "name an empty text"
