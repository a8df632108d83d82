"""A cache bounded by bytes: embedded data fits into memory wholly, ScanNet does not."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar, runtime_checkable


@runtime_checkable
class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


Value = TypeVar("Value", bound=_Sized)

#: Decoded arrays that one process keeps.
DEFAULT_LIMIT_BYTES = 1 << 30


class ByteCache:
    """Keeps what was used last, up to a number of bytes; never shared between processes."""

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._items: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, load: Callable[[], Value]) -> Value:
        """The value of `key`, from `load()` if it is not kept.

        Args:
            key: Names the value; the same key must always mean the same content.
            load: Reads the value; anything with `nbytes`.

        Returns:
            The value. Callers share it and must not write to it.
        """
        if key in self._items:
            self._items.move_to_end(key)
            return self._items[key]
        value = load()
        self._items[key] = value
        self.used_bytes += value.nbytes
        while self.used_bytes > self.limit_bytes and len(self._items) > 1:
            _, dropped = self._items.popitem(last=False)
            self.used_bytes -= dropped.nbytes
        return value
