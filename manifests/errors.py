"""The one exception that users see."""


class FlamError(Exception):
    """Something that a user can fix. Its text is one line: what is wrong, where, and what to do next."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
