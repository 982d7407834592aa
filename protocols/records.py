"""Frozen records with fields declared once, cheap to define.

The messages of the driver, the lines of the trace log, and what else a start must define are some
ninety small classes. Making each an ``attrs`` class would cost about 0.4 ms of every start; this
base costs next to nothing. Values that are many at a time, made in a loop over a dump, changed or
given factories are better ``attrs`` classes: their instances are made faster, and are smaller.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, Self, dataclass_transform


@dataclass_transform(frozen_default=True)
class Record:
    """Base of frozen value classes; annotations of a subclass are its fields, in order.

    A class attribute of the field's name is its default. Instances compare, hash and print by
    class and fields, and can be matched by position. A subclass of a subclass has the fields of
    both, the base's first. With ``kw_only=True`` in the head of a class its fields are given by
    name only.

    :raise TypeError: on construction: a field missing, given twice or unknown.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[dict[str, str]] = {}
    """Field name to annotation text."""
    _most_positional: ClassVar[int] = 0

    def __init_subclass__(cls, *, kw_only: bool = False) -> None:
        # Annotations are text, by the __future__ import of the defining module.
        own = {
            name: kind
            for name, kind in cls.__annotations__.items()
            if not kind.startswith("ClassVar")
        }
        cls.kinds = {**cls.kinds, **own}
        cls.fields = tuple(cls.kinds)
        cls._most_positional = 0 if kw_only else len(cls.fields)
        type.__setattr__(cls, "__match_args__", cls.fields)  # type checkers make their own

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fields = self.fields
        if len(args) > self._most_positional:
            raise TypeError(
                f"{type(self).__name__} takes {self._most_positional} fields by position, "
                f"not {len(args)}"
            )
        values = dict(zip(fields, args, strict=False))
        for name, value in kwargs.items():
            if name in values or name not in self.kinds:
                raise TypeError(f"{type(self).__name__}: field {name!r} unknown or given twice")
            values[name] = value
        for name in fields[len(args) :]:
            if name not in values:
                if not hasattr(type(self), name):
                    raise TypeError(f"{type(self).__name__}: field {name!r} is missing")
                values[name] = getattr(type(self), name)
        self.__dict__.update(values)

    def evolve(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return type(self)(**{**self.__dict__, **changes})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot delete {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *(self.__dict__[name] for name in self.fields)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self.fields)
        return f"{type(self).__name__}({shown})"
