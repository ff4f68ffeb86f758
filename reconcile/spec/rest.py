"""What is left of a spec when its misshapen parts are taken out, so that one error does not hide the others. Pure."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from trueup.model.toml_lines import Place

_STAND_INS: Final[dict[str, object]] = {"name": "spec", "version": 1}
"""What the rest is read with where the file's own value is no use; the spec is refused all the same."""


class Rest:
    """A copy of a document without the parts that are at fault; it knows where what is left stood."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = deepcopy(document)
        self._kept: dict[Place, list[int]] = {}
        self._broken: dict[int, set[str]] = {}

    def take_out(self, faults: list[tuple[Place, str]]) -> None:
        """Take out what is at fault: the key itself where it is unknown, else the group, leg, subset, rule or definition.

        Args:
            faults: the places in the whole document, with pydantic's name of the fault.
        """
        # From the end, so that the numbers of what comes before stay right.
        for place, kind in sorted(faults, key=lambda fault: _numbers(fault[0]), reverse=True):
            if kind == "extra_forbidden":
                self._drop(place)
            elif len(place) == 1:
                self.document[str(place[0])] = _STAND_INS.get(str(place[0]))
            elif len(place) > 3:
                self._drop(place[:4])
            else:
                self._drop(place[:2])

    def _drop(self, place: Place) -> None:
        *path, last = place
        holder: Any = self.document
        for part in path:
            try:
                holder = holder[part]
            except (KeyError, IndexError):
                return
        numbers = self._kept.setdefault(tuple(path), list(range(len(holder)))) if isinstance(holder, list) else None
        if numbers is None:
            holder.pop(last, None)
        elif last in numbers:
            at = numbers.index(int(last))
            name = holder[at].get("name") if isinstance(holder[at], dict) else None
            if len(place) == 4 and isinstance(name, str):
                self._broken.setdefault(int(place[1]), set()).add(name)
            del holder[at], numbers[at]
        if len(place) == 4 and place[2] == "define":
            self._broken.setdefault(int(place[1]), set()).add(str(last))

    def place_of(self, place: Place) -> Place:
        """The place in the whole document of a place in what is left."""
        original: Place = ()
        for part in place:
            kept = self._kept.get(original)
            is_kept = kept is not None and isinstance(part, int) and part < len(kept)
            original = (*original, kept[part] if is_kept else part)  # type: ignore[index]
        return original

    def broken_names(self, group: int) -> set[str]:
        """Names of what was taken out of a group of what is left."""
        place = self.place_of(("group", group))
        return self._broken.get(int(place[1]), set())


def _numbers(place: Place) -> tuple[int, ...]:
    """The numbers in a place, as they stand in the file; deeper places come after shallower ones."""
    return tuple(part if isinstance(part, int) else -1 for part in place)
