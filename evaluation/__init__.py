"""How good a detector is: metrics from its scores, or from an outside model's."""
