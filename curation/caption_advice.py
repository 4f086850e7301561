"""What a user should know of a run most of whose captions are templates in the place of a model's answers."""

from curation.caption_run import CaptionReport

_ANEW = "under another --name: these stay as they are"
_AGAIN = "see to the server and run the same command again: these are asked for anew"
_ADVICE = {  # by reason; whatever else there is says that answers failed a check
    "finished": f"answers are cut off or withheld: raise --max-answer-tokens, {_ANEW}",
    "refused by the server": f"questions may be too long for the model, or fail its filters: try another, {_ANEW}",
    "timeout": "raise --timeout or lower --concurrency and run the same command again: these are asked for anew",
    "HTTP 429": "lower --concurrency and run the same command again: these are asked for anew",
    "connection lost or refused": _AGAIN,
    "malformed response": _AGAIN,
    "no answer in the batch": "run the same command again: these are asked for anew",
}
_FAILED = f"answers did not pass this check twice: try another --model or a prompt of your own, {_ANEW}"


def complaint(report: CaptionReport) -> str:
    """Why most texts of a run are templates, and what to do about it; empty if most are not."""
    num = report.fallbacks.total()
    if 2 * num <= report.num_done:
        return ""
    reason, count = report.fallbacks.most_common(1)[0]
    advice = _ADVICE.get(reason, _AGAIN if reason.startswith("HTTP") else _FAILED)
    return f"{num} of {report.num_done} texts are templates, no answers of the model, {count} by {reason!r}: {advice}"


def is_useless(report: CaptionReport) -> bool:
    """Whether a whole set holds no answer of its model."""
    return not report.num_reused and 0 < report.num_done == report.fallbacks.total()
