"""Score and mask functions, traced from Python into the IR.

A score function ``score_mod(s, b, h, i, j)`` is called once, with symbols: what its operators and the functions of this
module do to them is written down as the body of the score region of ``attn.sdpa``. A mask function
``mask_mod(b, h, i, j)`` becomes a score function that gives -inf where it is false, and a score of -inf is not attended.

>>> print(trace(lambda s, b, h, i, j: s - 0.5 * abs(i - j), None, "f32").splitlines()[0])
%0 = arith.subi %i, %j : index

The functions of this module also take plain numbers, so that a function can be tried by calling it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

#: Each function on numbers, and the operation on symbols.
_FLOAT_UNARY: dict[str, tuple[Callable[[float], float], str]] = {
    "exp": (math.exp, "math.exp"),
    "exp2": (lambda x: 2.0**x, "math.exp2"),
    "log": (math.log, "math.log"),
    "log2": (math.log2, "math.log2"),
    "sqrt": (math.sqrt, "math.sqrt"),
    "rsqrt": (lambda x: 1.0 / math.sqrt(x), "math.rsqrt"),
    "tanh": (math.tanh, "math.tanh"),
    "sin": (math.sin, "math.sin"),
    "cos": (math.cos, "math.cos"),
    "floor": (lambda x: float(math.floor(x)), "math.floor"),
}


class TraceError(TypeError):
    """A score or mask function did something that cannot become part of a kernel."""


class Tracer:
    """Writes operations down, each once: equal expressions share one value."""

    def __init__(self, compute: str) -> None:
        self.compute = compute
        self.lines: list[str] = []
        self.values: dict[str, Expr] = {}

    def emit(self, operation: str, kind: str) -> Expr:
        known = self.values.get(operation)
        if known is None:
            known = Expr(self, f"%{len(self.lines)}", kind)
            self.lines.append(f"{known.name} = {operation}")
            self.values[operation] = known
        return known

    def type_of(self, kind: str) -> str:
        return {"float": self.compute, "int": "index", "bool": "i1"}[kind]

    def float_literal(self, value: float) -> str:
        """The value's bits in hexadecimal, which say it exactly."""
        if self.compute == "f64":
            return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
        try:
            return f"0x{struct.unpack('<I', struct.pack('<f', value))[0]:08X}"
        except OverflowError:
            raise TraceError(f"score function: expected numbers that f32 can hold, got {value}") from None

    def constant(self, value: int | float) -> Expr:
        if isinstance(value, bool):
            return self.emit(f"arith.constant {'true' if value else 'false'}", "bool")
        if isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise TraceError(f"score function: expected integers of 64 bits, got {value}")
            return self.emit(f"arith.constant {value} : index", "int")
        return self.emit(f"arith.constant {self.float_literal(value)} : {self.compute}", "float")

    def lift(self, value: Any) -> Expr:
        if isinstance(value, Expr):
            if value.tracer is not self:
                raise TraceError("score function: expected values of this call, got one kept from another")
            return value
        if isinstance(value, (bool, int, float)):
            return self.constant(value)
        # A scalar of NumPy or an array of no dimension is a number.
        if getattr(value, "shape", None) == () and hasattr(value, "item"):
            return self.lift(value.item())
        raise TraceError(
            f"score function: expected numbers and the function's arguments, got {type(value).__name__}; an array that "
            "is added to the scores is bias=, and one of flags is flashc.tensor(array)"
        )

    def as_float(self, value: Any) -> Expr:
        lifted = self.lift(value)
        if lifted.kind == "float":
            return lifted
        if lifted.kind == "int":
            integer = self.emit(f"arith.index_cast {lifted.name} : index to i64", "i64")
            return self.emit(f"arith.sitofp {integer.name} : i64 to {self.compute}", "float")
        return self.emit(f"arith.uitofp {lifted.name} : i1 to {self.compute}", "float")

    def as_int(self, value: Expr) -> Expr:
        if value.kind == "bool":
            return self.emit(f"arith.index_castui {value.name} : i1 to index", "int")
        return value

    def as_bool(self, value: Any) -> Expr:
        value = self.lift(value)
        return value if value.kind == "bool" else self.compare("ne", value, 0)

    def common(self, *values: Any) -> tuple[list[Expr], str]:
        """The values, lifted to one kind: float if one of them is, else int."""
        lifted = [self.lift(value) for value in values]
        if any(value.kind == "float" for value in lifted):
            return [self.as_float(value) for value in lifted], "float"
        return [self.as_int(value) for value in lifted], "int"

    def binary(self, float_op: str, int_op: str, a: Any, b: Any) -> Expr:
        (left, right), kind = self.common(a, b)
        operation = float_op if kind == "float" else int_op
        return self.emit(f"{operation} {left.name}, {right.name} : {self.type_of(kind)}", kind)

    def divide(self, a: Any, b: Any) -> Expr:
        left, right = self.as_float(a), self.as_float(b)
        return self.emit(f"arith.divf {left.name}, {right.name} : {self.compute}", "float")

    def floor_divide(self, a: Any, b: Any) -> Expr:
        (left, right), kind = self.common(a, b)
        if kind == "float":
            quotient = self.divide(left, right)
            return self.emit(f"math.floor {quotient.name} : {self.compute}", "float")
        return self.emit(f"arith.floordivsi {left.name}, {right.name} : index", "int")

    def modulo(self, a: Any, b: Any) -> Expr:
        """As in Python: the result has the divisor's sign."""
        left, right = self.lift(a), self.lift(b)
        return left - self.floor_divide(left, right) * right

    def logical(self, operation: str, a: Any, b: Any) -> Expr:
        left, right = self.lift(a), self.lift(b)
        if left.kind != "bool" or right.kind != "bool":
            raise TraceError("score function: expected conditions on both sides of &, | and ^")
        return self.emit(f"{operation} {left.name}, {right.name} : i1", "bool")

    def compare(self, predicate: str, a: Any, b: Any) -> Expr:
        (left, right), kind = self.common(a, b)
        if kind == "float":
            # A comparison with NaN is false, but for !=, as in Python.
            name = "une" if predicate == "ne" else f"o{predicate}"
            return self.emit(f"arith.cmpf {name}, {left.name}, {right.name} : {self.compute}", "bool")
        name = predicate if predicate in ("eq", "ne") else f"s{predicate}"
        return self.emit(f"arith.cmpi {name}, {left.name}, {right.name} : index", "bool")

    def select(self, condition: Any, a: Any, b: Any) -> Expr:
        flag = self.as_bool(condition)
        left, right = self.lift(a), self.lift(b)
        if left.kind == right.kind == "bool":
            return (flag & left) | (~flag & right)
        (left, right), kind = self.common(left, right)
        return self.emit(f"arith.select {flag.name}, {left.name}, {right.name} : {self.type_of(kind)}", kind)


class Expr:
    """A symbol of a trace: a score (float), a position (int) or a condition (bool)."""

    __slots__ = ("kind", "name", "tracer")
    #: NumPy's scalars and arrays leave the operators to this class.
    __array_ufunc__ = None

    def __init__(self, tracer: Tracer, name: str, kind: str) -> None:
        self.tracer = tracer
        self.name = name
        self.kind = kind

    def __add__(self, other: Any) -> Expr:
        return self.tracer.binary("arith.addf", "arith.addi", self, other)

    def __radd__(self, other: Any) -> Expr:
        return self.tracer.binary("arith.addf", "arith.addi", other, self)

    def __sub__(self, other: Any) -> Expr:
        return self.tracer.binary("arith.subf", "arith.subi", self, other)

    def __rsub__(self, other: Any) -> Expr:
        return self.tracer.binary("arith.subf", "arith.subi", other, self)

    def __mul__(self, other: Any) -> Expr:
        return self.tracer.binary("arith.mulf", "arith.muli", self, other)

    def __rmul__(self, other: Any) -> Expr:
        return self.tracer.binary("arith.mulf", "arith.muli", other, self)

    def __truediv__(self, other: Any) -> Expr:
        return self.tracer.divide(self, other)

    def __rtruediv__(self, other: Any) -> Expr:
        return self.tracer.divide(other, self)

    def __floordiv__(self, other: Any) -> Expr:
        return self.tracer.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Expr:
        return self.tracer.floor_divide(other, self)

    def __mod__(self, other: Any) -> Expr:
        return self.tracer.modulo(self, other)

    def __rmod__(self, other: Any) -> Expr:
        return self.tracer.modulo(other, self)

    def __pow__(self, other: Any) -> Expr:
        if isinstance(other, int) and not isinstance(other, bool) and 1 <= other <= 8:
            result = self
            for _ in range(other - 1):
                result = result * self
            return result
        base, exponent = self.tracer.as_float(self), self.tracer.as_float(other)
        return self.tracer.emit(f"math.powf {base.name}, {exponent.name} : {self.tracer.compute}", "float")

    def __rpow__(self, other: Any) -> Expr:
        if isinstance(other, (int, float)) and other > 0:
            exponent = self.tracer.as_float(self) * math.log2(other)
            return self.tracer.emit(f"math.exp2 {exponent.name} : {self.tracer.compute}", "float")
        raise TraceError(f"score function: expected a power of a positive number, got base {other!r}")

    def __neg__(self) -> Expr:
        if self.kind == "float":
            return self.tracer.emit(f"arith.negf {self.name} : {self.tracer.compute}", "float")
        return self.tracer.lift(0) - self

    def __pos__(self) -> Expr:
        return self

    def __abs__(self) -> Expr:
        if self.kind == "float":
            return self.tracer.emit(f"math.absf {self.name} : {self.tracer.compute}", "float")
        return self.tracer.binary("arith.maximumf", "arith.maxsi", self, -self)

    def __lt__(self, other: Any) -> Expr:
        return self.tracer.compare("lt", self, other)

    def __le__(self, other: Any) -> Expr:
        return self.tracer.compare("le", self, other)

    def __gt__(self, other: Any) -> Expr:
        return self.tracer.compare("gt", self, other)

    def __ge__(self, other: Any) -> Expr:
        return self.tracer.compare("ge", self, other)

    def __eq__(self, other: Any) -> Expr:  # type: ignore[override]
        return self.tracer.compare("eq", self, other)

    def __ne__(self, other: Any) -> Expr:  # type: ignore[override]
        return self.tracer.compare("ne", self, other)

    __hash__ = None  # type: ignore[assignment]

    def __and__(self, other: Any) -> Expr:
        return self.tracer.logical("arith.andi", self, other)

    def __rand__(self, other: Any) -> Expr:
        return self.tracer.logical("arith.andi", other, self)

    def __or__(self, other: Any) -> Expr:
        return self.tracer.logical("arith.ori", self, other)

    def __ror__(self, other: Any) -> Expr:
        return self.tracer.logical("arith.ori", other, self)

    def __xor__(self, other: Any) -> Expr:
        return self.tracer.logical("arith.xori", self, other)

    def __rxor__(self, other: Any) -> Expr:
        return self.tracer.logical("arith.xori", other, self)

    def __invert__(self) -> Expr:
        if self.kind != "bool":
            raise TraceError("score function: expected a condition after ~")
        return self ^ True

    def __bool__(self) -> bool:
        raise TraceError(
            "score function: a condition on the arguments is not known while tracing; use flashc.where(condition, a, b) "
            "instead of if, and &, |, ~ instead of and, or, not"
        )

    def __float__(self) -> float:
        raise TraceError(
            "score function: an argument has no value while tracing; use flashc.exp and so on, not math.exp"
        )

    def __index__(self) -> int:
        raise TraceError(
            "score function: a position cannot index a Python object; pass the array as bias= or as a mask"
        )

    def __iter__(self) -> Any:
        raise TraceError("score function: a scalar cannot be iterated over")


def _unary(name: str) -> Callable[[Any], Any]:
    on_number, operation = _FLOAT_UNARY[name]

    def function(x: Any) -> Any:
        if isinstance(x, Expr):
            value = x.tracer.as_float(x)
            return x.tracer.emit(f"{operation} {value.name} : {x.tracer.compute}", "float")
        return on_number(x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{name}(x) of a score function's value, or of a number."
    return function


exp = _unary("exp")
exp2 = _unary("exp2")
log = _unary("log")
log2 = _unary("log2")
sqrt = _unary("sqrt")
rsqrt = _unary("rsqrt")
tanh = _unary("tanh")
sin = _unary("sin")
cos = _unary("cos")
floor = _unary("floor")


def _tracer(*values: Any) -> Tracer | None:
    return next((value.tracer for value in values if isinstance(value, Expr)), None)


def where(condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition holds, else `b`; both are computed."""
    tracer = _tracer(condition, a, b)
    if tracer is None:
        return a if condition else b
    return tracer.select(condition, a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two values."""
    tracer = _tracer(a, b)
    return min(a, b) if tracer is None else tracer.binary("arith.minimumf", "arith.minsi", a, b)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two values."""
    tracer = _tracer(a, b)
    return max(a, b) if tracer is None else tracer.binary("arith.maximumf", "arith.maxsi", a, b)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + exp(-x))


def _call(function: Callable[..., Any], what: str, arguments: tuple[Expr, ...]) -> Any:
    if not callable(function):
        raise TypeError(f"{what}: expected a function or None, got {type(function).__name__}")
    result = function(*arguments)
    if result is None:
        raise TypeError(f"{what}: expected the function to return a value, got None")
    return result


def trace(score_mod: Callable[..., Any] | None, mask_mod: Callable[..., Any] | None, dtype: str) -> str:
    """The body of the score region for inputs of `dtype`; "" when there is neither function.

    Its arguments are ``%s`` (the compute type: f64 for f64, else f32) and ``%b, %h, %i, %j`` (index).
    """
    if score_mod is None and mask_mod is None:
        return ""
    tracer = Tracer("f64" if dtype == "f64" else "f32")
    score = Expr(tracer, "%s", "float")
    positions = tuple(Expr(tracer, f"%{name}", "int") for name in "bhij")
    result = score
    if score_mod is not None:
        result = tracer.as_float(_call(score_mod, "score_mod", (score, *positions)))
    if mask_mod is not None:
        attended = tracer.as_bool(_call(mask_mod, "mask_mod", positions))
        result = tracer.select(attended, result, -math.inf)
    return "\n".join([*tracer.lines, f"attn.yield {result.name} : {tracer.compute}"])
