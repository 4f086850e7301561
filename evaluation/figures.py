"""What all pictures have in common. Drawn without pyplot, so nothing is global."""

import warnings
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from manifests.store import replacing

# Okabe and Ito's palette, which stays distinct for colour-blind readers
CURVE, DETECTED, TRUTH, LIMIT = "#0072B2", "#56B4E9", "#D55E00", "#666666"
COLORS = [CURVE, TRUTH, "#009E73", "#CC79A7", "#E69F00", DETECTED, "#000000"]
_DOTS_PER_INCH = 120


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all.

    Text that the font cannot show is drawn as boxes: it is the reader's own phrase, and no reason to fail.
    """
    with warnings.catch_warnings(), replacing(path) as temporary:
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        FigureCanvasAgg(figure)
        figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH)
