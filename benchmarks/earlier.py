"""A run of an earlier version of this project, by its own trainer and default settings: ablations.py calls it.

    python benchmarks/earlier.py CHECKOUT '{"data": …, "test": …, "run": …, "known": […], "config": {…}}'

Prints one JSON object. Only what both versions have is used here.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

METRICS = {
    "auroc_active_known": "known labels",
    "auroc_active_held_out": "held-out labels",
    "auroc_active_unseen_wordings": "unseen wordings",
    "auroc_all_known": "known labels, all frames",
    "auroc_all_held_out": "held-out labels, all frames",
    "auroc_all_unseen_wordings": "unseen wordings, all frames",
    "psds1_a": "PSDS1_A",
    "detection_f1_macro": "detection F1",
    "text_to_audio_recall_at_10": "text to audio R@10",
    "ece": "calibration error",
}
_NUM_REPLICATES = 400


def measured(run: Path, test: Path, known: Collection[str]) -> dict[str, Any]:
    """What a run's model does on a test set: each metric, and what it is of soundscapes drawn anew."""
    import numpy as np

    from evaluation.evaluate import evaluate
    from manifests.store import DatasetFolder
    from training.detect import Detector

    detector = Detector.load(run)
    trained = dataclasses.replace(detector.card.trained(), clusters=frozenset(known))
    folder = DatasetFolder.open(test)
    found = evaluate(detector, folder, trained=trained, caption_set="template", num_replicates=_NUM_REPLICATES)
    return {
        "soundscapes": found.soundscapes,
        "values": {name: found.value(name) for name in METRICS},
        "replicates": {name: np.round(found.metrics[name].replicates, 4).tolist() for name in METRICS},
    }


def main() -> None:
    """Train, or finish that, and measure."""
    sys.path.insert(0, sys.argv[1])
    from training.config import TrainConfig
    from training.loop import train

    asked = json.loads(sys.argv[2])
    config = TrainConfig(**asked["config"])
    began = time.process_time()
    report = train(Path(asked["data"]), Path(asked["run"]), config)
    row = {
        "config": config.model_dump(mode="json"),
        "cpu_seconds": round(time.process_time() - began),
        "num_parameters": report.num_parameters,
        **measured(Path(asked["run"]), Path(asked["test"]), asked["known"]),
    }
    sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
