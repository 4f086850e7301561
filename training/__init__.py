"""A dataset folder in, a model that finds free text in recordings out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.detect import Detection, Detector

__all__ = ["Detection", "Detector"]


def __getattr__(name: str) -> Any:  # torch is loaded when a Detector is first asked for, not by `import training`
    if name in __all__:
        from training import detect

        return getattr(detect, name)
    raise AttributeError(f"module 'training' has no attribute {name!r}")
