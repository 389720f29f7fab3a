"""Vectors for Numba: many examples at once.

Numba vectorises plain loops, but keeps no running sums of many examples in registers across
an inner loop over weights, which is what sparse products live on. `Vector(n)` is n float32
side by side; LLVM maps it to whatever registers the processor has (32 lanes are four of AVX2,
two of AVX-512, eight of NEON). All functions here can be called from compiled code only.
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
# Products may be fused with the sum they go into: one instruction, and one rounding fewer.
_FUSED = ("contract",)
_EIGHT_PLACES = types.UniTuple(types.intp, 8)


def part(function):
    """Compile a function that other compiled code alone calls: a way in from Python, which takes
    longer to compile than most of them, is left out."""
    return njit(function, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


class Vector(types.Type):
    """`lanes` float32 values, a multiple of 8."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(name=f"Vector({lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, _vector(vector.lanes))


def _vector(lanes: int) -> ir.VectorType:
    return ir.VectorType(_FLOAT, lanes)


def _chosen(builder, first, second, lanes):
    """The lanes with these numbers, those of `second` counted after those of `first`."""
    mask = ir.Constant(ir.VectorType(_INT, len(lanes)), list(lanes))
    return builder.shuffle_vector(first, second, mask)


def _spread(builder, value, lanes):
    empty = ir.Constant(_vector(lanes), ir.Undefined)
    one = builder.insert_element(empty, value, ir.Constant(_INT, 0))
    return _chosen(builder, one, empty, [0] * lanes)


def elements(builder, values, count):
    """The first so many elements of a tuple."""
    return [builder.extract_value(values, i) for i in range(count)]


def address_of(context, builder, array_type, array, at):
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [at])


@intrinsic(prefer_literal=True)
def zeros(typing, lanes):
    """A vector of zeros."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(_vector(lanes.literal_value), [0.0] * lanes.literal_value)

    return Vector(lanes.literal_value)(lanes), generate


@intrinsic(prefer_literal=True)
def load(typing, lanes, array, at):
    """`array[at : at + lanes]` of a one-dimensional float32 array."""

    def generate(context, builder, signature, arguments):
        address = address_of(context, builder, signature.args[1], *arguments[1:])
        address = builder.bitcast(address, _vector(lanes.literal_value).as_pointer())
        value = builder.load(address)
        value.align = 4
        return value

    return Vector(lanes.literal_value)(lanes, array, types.intp), generate


@intrinsic
def store(typing, array, at, values):
    """Write a vector to `array[at : at + lanes]`."""

    def generate(context, builder, signature, arguments):
        address = address_of(context, builder, signature.args[0], *arguments[:2])
        address = builder.bitcast(address, _vector(values.lanes).as_pointer())
        builder.store(arguments[2], address).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, values), generate


@intrinsic
def multiply_add(typing, total, factor, values):
    """total + factor * values, for a factor that is one number."""

    def generate(context, builder, signature, arguments):
        before, factor, right = arguments
        product = builder.fmul(_spread(builder, factor, total.lanes), right, flags=_FUSED)
        return builder.fadd(before, product, flags=_FUSED)

    return total(total, types.float32, values), generate


@intrinsic(prefer_literal=True)
def spread(typing, lanes, value):
    """A vector with the same number in every lane."""

    def generate(context, builder, signature, arguments):
        return _spread(builder, arguments[1], lanes.literal_value)

    return Vector(lanes.literal_value)(lanes, types.float32), generate


@intrinsic
def where_positive(typing, condition, values):
    """`values` where `condition` is above 0, else 0; also where it is not a number."""

    def generate(context, builder, signature, arguments):
        nothing = ir.Constant(_vector(values.lanes), [0.0] * values.lanes)
        above = builder.fcmp_ordered(">", arguments[0], nothing)
        return builder.select(above, arguments[1], nothing)

    return values(condition, values), generate


@intrinsic
def rectified(typing, values):
    """max(values, 0); what is not a number stays so."""

    def generate(context, builder, signature, arguments):
        nothing = ir.Constant(_vector(values.lanes), [0.0] * values.lanes)
        below = builder.fcmp_ordered("<", arguments[0], nothing)
        return builder.select(below, nothing, arguments[0])

    return values(values), generate


@intrinsic
def plus(typing, left, right):
    """left + right."""

    def generate(context, builder, signature, arguments):
        return builder.fadd(*arguments)

    return left(left, right), generate


@intrinsic
def minus(typing, left, right):
    """left - right."""

    def generate(context, builder, signature, arguments):
        return builder.fsub(*arguments)

    return left(left, right), generate


@intrinsic
def times(typing, left, right):
    """left * right."""

    def generate(context, builder, signature, arguments):
        return builder.fmul(*arguments, flags=_FUSED)

    return left(left, right), generate


@intrinsic
def larger(typing, left, right):
    """The larger of both in each lane; what is not a number stays so."""

    def generate(context, builder, signature, arguments):
        left, right = arguments
        is_left = builder.fcmp_ordered(">=", left, right)
        is_left = builder.or_(is_left, builder.fcmp_unordered("uno", left, left))
        return builder.select(is_left, left, right)

    return left(left, right), generate


@intrinsic
def where_equal(typing, left, right, values):
    """`values` where left and right are the same number, else 0."""

    def generate(context, builder, signature, arguments):
        nothing = ir.Constant(_vector(values.lanes), [0.0] * values.lanes)
        is_same = builder.fcmp_ordered("==", arguments[0], arguments[1])
        return builder.select(is_same, arguments[2], nothing)

    return values(left, right, values), generate


@intrinsic
def folded_product(typing, left, right):
    """left * right, added up to eight lanes: the sum of these is the scalar product."""

    def generate(context, builder, signature, arguments):
        total = None
        for first in range(0, left.lanes, 8):
            eight = range(first, first + 8)
            a, b = (_chosen(builder, values, values, eight) for values in arguments)
            product = builder.fmul(a, b, flags=_FUSED)
            total = product if total is None else builder.fadd(total, product, flags=_FUSED)
        return total

    return Vector(8)(left, right), generate


@intrinsic
def product_added(typing, before, left, right):
    """before + left * right, added up to as many lanes as `before` has."""

    def generate(context, builder, signature, arguments):
        total, lanes = arguments[0], before.lanes
        for first in range(0, left.lanes, lanes):
            some = range(first, first + lanes)
            a, b = (_chosen(builder, values, values, some) for values in arguments[1:])
            product = builder.fmul(a, b, flags=_FUSED)
            total = builder.fadd(total, product, flags=_FUSED)
        return total

    return before(before, left, right), generate


@intrinsic
def total(typing, values):
    """The sum of all lanes."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _vector(values.lanes)])
        name = f"llvm.vector.reduce.fadd.v{values.lanes}f32"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        start = ir.Constant(_FLOAT, -0.0)
        return builder.call(function, [start, arguments[0]], fastmath=("reassoc",))

    return types.float32(values), generate


# Three rounds of picking from pairs turn eight vectors of eight lanes around.
_ROUNDS = (
    ((0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)),
    ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
    ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
)


@intrinsic
def eight_totals(typing, vectors):
    """The sums of eight vectors of eight lanes, given as a tuple, as one such vector: a third of
    the work of adding up each on its own."""

    def generate(context, builder, signature, arguments):
        left = elements(builder, arguments[0], 8)
        for low, high in _ROUNDS:
            pairs = zip(left[::2], left[1::2], strict=True)
            left = [
                builder.fadd(_chosen(builder, x, y, low), _chosen(builder, x, y, high))
                for x, y in pairs
            ]
        return left[0]

    return vectors.dtype(vectors), generate


@intrinsic
def transpose_eight(typing, source, places, target, at, step):
    """Write eight values from each of eight `places` of `source` as the columns of eight rows
    of `target`, `step` apart."""

    def generate(context, builder, signature, arguments):
        def place(array, position):
            address = address_of(
                context, builder, signature.args[array], arguments[array], position
            )
            return builder.bitcast(address, _vector(8).as_pointer())

        rows = []
        for position in elements(builder, arguments[1], 8):
            rows.append(builder.load(place(0, position)))
            rows[-1].align = 4
        # Partners are 1, 2 and 4 apart, as in a fast Fourier transform.
        for (low, high), apart in zip(_ROUNDS, (1, 2, 4), strict=True):
            turned = list(rows)
            for i in range(8):
                if not i & apart:
                    x, y = rows[i], rows[i + apart]
                    turned[i] = _chosen(builder, x, y, low)
                    turned[i + apart] = _chosen(builder, x, y, high)
            rows = turned
        position = arguments[3]
        # Rounds 1 and 2 pick lanes 0, 1 before 2, 3: the order of rows they leave.
        for i in (0, 2, 1, 3, 4, 6, 5, 7):
            builder.store(rows[i], place(2, position)).align = 4
            position = builder.add(position, arguments[4])
        return context.get_dummy_value()

    return types.void(source, _EIGHT_PLACES, target, types.intp, types.intp), generate


@intrinsic
def prefetch(typing, array, at):
    """Have `array[at]` brought near while something else is done; `at` may lie outside."""

    def generate(context, builder, signature, arguments):
        address = address_of(context, builder, signature.args[0], *arguments)
        kind = ir.FunctionType(ir.VoidType(), [address.type, _INT, _INT, _INT])
        name = "llvm.prefetch.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        read, near, data = (ir.Constant(_INT, value) for value in (0, 3, 1))
        builder.call(function, [address, read, near, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def read_eight(typing, images, places, lengths, target, at, step):
    """Write eight of the images' `pixels`, uint8, from each of eight `places` as the columns of
    eight rows of `target`, `step` apart: what their `values` (256,) have for each, divided by the
    one of the eight `lengths` that belongs to its column."""

    def generate(context, builder, signature, arguments):
        fields = signature.args[0].fields

        def part(name, position):
            kind = signature.args[0][fields.index(name)]
            array = builder.extract_value(arguments[0], fields.index(name))
            return address_of(context, builder, kind, array, position)

        columns = []
        for position in elements(builder, arguments[1], 8):
            # Eight bytes at one go, the first of them lowest, as on every processor of Numba's.
            address = builder.bitcast(part("pixels", position), _LONG.as_pointer())
            columns.append(builder.load(address))
            columns[-1].align = 1
        position = arguments[4]
        for pixel in range(8):
            row = ir.Constant(_vector(8), ir.Undefined)
            for i, eight in enumerate(columns):
                shifted = builder.lshr(eight, ir.Constant(_LONG, 8 * pixel))
                grey = builder.and_(shifted, ir.Constant(_LONG, 255))
                number = builder.load(part("values", grey))
                row = builder.insert_element(row, number, ir.Constant(_INT, i))
            address = address_of(context, builder, signature.args[3], arguments[3], position)
            address = builder.bitcast(address, _vector(8).as_pointer())
            # The division hides behind the loads: that by 1 costs nothing either.
            builder.store(builder.fdiv(row, arguments[2]), address).align = 4
            position = builder.add(position, arguments[5])
        return context.get_dummy_value()

    return types.void(images, _EIGHT_PLACES, lengths, target, types.intp, types.intp), generate
