"""An anchor over another one: reads what lies below, and puts everything new elsewhere."""

from floorlog.record.log.anchor import KEY_NAME, Anchor


class Overlay(Anchor):
    """What a drill does to the anchors, of which the real ones must learn nothing.

    Args:
        below: the real anchors; only read.
        above: takes what is put, the drill's own key among it.
    """

    def __init__(self, below: Anchor, above: Anchor) -> None:
        self._below = below
        self._above = above

    def names(self, begins: str) -> list[str]:
        """See Anchor."""
        return sorted({*self._below.names(begins), *self._above.names(begins)} - {KEY_NAME})

    def get(self, name: str) -> bytes:
        """See Anchor."""
        try:
            return self._above.get(name)
        except FileNotFoundError:
            if name == KEY_NAME:
                raise
            return self._below.get(name)

    def keep(self, name: str, data: bytes) -> bool:
        """See Anchor."""
        try:
            self.get(name)
        except FileNotFoundError:
            return self._above.keep(name, data)
        return False

    def spare(self, begins: str) -> None:
        """See Anchor."""
        self._above.spare(begins)
