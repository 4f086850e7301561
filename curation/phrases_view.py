"""A phrase table to look at, and as JSON."""

from collections import Counter
from typing import Any

from rich.markup import escape
from rich.table import Table

from curation.phrases_review import summary
from curation.phrases_table import PhraseTable
from manifests.schema import ORIGINS, Phrase


def phrases_view(table: PhraseTable) -> Table:
    """A row for each cluster, and counts below."""
    view = Table("cluster", "label", "phrases", "ancestors", "near misses", show_lines=True)
    for cluster, rows in _by_cluster(table).items():
        texts = {origin: dict.fromkeys(row.phrase for row in rows if row.origin == origin) for origin in ORIGINS}
        cells = [
            cluster,
            "\n".join(dict.fromkeys(row.label for row in rows)),
            "\n".join(f"{origin}: {', '.join(found)}" for origin, found in texts.items() if found),
            "\n".join(rows[0].ancestors),
            "\n".join(rows[0].near_misses),
        ]
        view.add_row(*map(escape, cells))
    counts = Counter(row.origin for row in table.phrases)
    origins = ", ".join(f"{counts[origin]} {origin}" for origin in ORIGINS if counts[origin])
    ancestors, near_misses = (len(table.texts(kind)) for kind in ("ancestor", "near miss"))
    view.caption = (
        f"{len(_by_cluster(table))} clusters, {len(table.phrases)} phrases ({origins}), "
        f"{ancestors} ancestors, {near_misses} near misses"
    )
    return view


def phrases_json(table: PhraseTable) -> dict[str, Any]:
    """The same as an object, with what the rules left out."""
    clusters = [
        {
            "cluster": cluster,
            "ancestors": rows[0].ancestors,
            "near_misses": rows[0].near_misses,
            "phrases": [{"phrase": row.phrase, "label": row.label, "origin": row.origin} for row in rows],
        }
        for cluster, rows in _by_cluster(table).items()
    ]
    return {"clusters": clusters, "review": list(summary(table.findings))}


def _by_cluster(table: PhraseTable) -> dict[str, list[Phrase]]:
    found: dict[str, list[Phrase]] = {}
    for row in table.phrases:
        found.setdefault(row.cluster, []).append(row)
    return found
