"""Folders of score tables, as another model's user would write them."""

from pathlib import Path

import pandas as pd

from evaluation.frame_scores import FrameScores


def write_score_folder(folder: Path, scores: FrameScores) -> Path:
    """A table for each clip, its columns called like the scores' labels."""
    folder.mkdir(parents=True)
    for index, name in enumerate(scores.clips):
        edges = scores.edges_of(index)
        columns = {label: scores.of(index, row) for row, label in enumerate(scores.labels)}
        table = pd.DataFrame({"onset": edges[:-1], "offset": edges[1:], **columns})
        table.to_csv(folder / f"{name}.tsv", sep="\t", index=False)
    return folder
