"""Vectors for Numba: many examples at once, and the matrix product of BLAS.

Numba vectorises plain loops, but keeps no running sums of many examples in registers across
an inner loop over weights, which is what sparse products live on. `Vector(n)` is n float32
side by side; LLVM maps it to whatever registers the processor has (32 lanes are four of AVX2,
two of AVX-512, eight of NEON). All functions here can be called from compiled code only.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic, models, register_model

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
# Products may be fused with the sum they go into: one instruction, and one rounding fewer.
_FUSED = ("contract",)


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


def _address(context, builder, array_type, array, at):
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
        address = _address(context, builder, signature.args[1], *arguments[1:])
        address = builder.bitcast(address, _vector(lanes.literal_value).as_pointer())
        value = builder.load(address)
        value.align = 4
        return value

    return Vector(lanes.literal_value)(lanes, array, types.intp), generate


@intrinsic
def store(typing, array, at, values):
    """Write a vector to `array[at : at + lanes]`."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments[:2])
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
def eight_totals(typing, a, b, c, d, e, f, g, h):
    """The sums of eight vectors of eight lanes, as one such vector: a third of the work of
    adding up each on its own."""

    def generate(context, builder, signature, arguments):
        left = list(arguments)
        for low, high in _ROUNDS:
            pairs = zip(left[::2], left[1::2], strict=True)
            left = [
                builder.fadd(_chosen(builder, x, y, low), _chosen(builder, x, y, high))
                for x, y in pairs
            ]
        return left[0]

    return a(*[a] * 8), generate


@intrinsic
def transpose_eight(typing, source, a, b, c, d, e, f, g, h, target, at, step):
    """Write eight values from each of eight places of `source` as the columns of eight rows
    of `target`, `step` apart."""

    def generate(context, builder, signature, arguments):
        def place(array, position):
            address = _address(context, builder, signature.args[array], arguments[array], position)
            return builder.bitcast(address, _vector(8).as_pointer())

        rows = []
        for position in arguments[1:9]:
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
        position = arguments[10]
        # Rounds 1 and 2 pick lanes 0, 1 before 2, 3: the order of rows they leave.
        for i in (0, 2, 1, 3, 4, 6, 5, 7):
            builder.store(rows[i], place(9, position)).align = 4
            position = builder.add(position, arguments[11])
        return context.get_dummy_value()

    size = types.intp
    return types.void(source, *[size] * 8, target, size, size), generate


@intrinsic
def prefetch(typing, array, at):
    """Have `array[at]` brought near while something else is done; `at` may lie outside."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments)
        kind = ir.FunctionType(ir.VoidType(), [address.type, _INT, _INT, _INT])
        name = "llvm.prefetch.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        read, near, data = (ir.Constant(_INT, value) for value in (0, 3, 1))
        builder.call(function, [address, read, near, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def read_eight(typing, pixels, values, lengths, a, b, c, d, e, f, g, h, target, at, step):
    """Write eight of `pixels`, uint8, from each of eight places as the columns of eight rows of
    `target`, `step` apart: what `values` (256,) has for each, divided by the one of the eight
    `lengths` that belongs to its column."""

    def generate(context, builder, signature, arguments):
        table = context.make_array(signature.args[1])(context, builder, arguments[1]).data
        columns = []
        for position in arguments[3:11]:
            address = _address(context, builder, signature.args[0], arguments[0], position)
            # Eight bytes at one go, the first of them lowest, as on every processor of Numba's.
            columns.append(builder.load(builder.bitcast(address, _LONG.as_pointer())))
            columns[-1].align = 1
        position = arguments[12]
        for pixel in range(8):
            row = ir.Constant(_vector(8), ir.Undefined)
            for i, eight in enumerate(columns):
                shifted = builder.lshr(eight, ir.Constant(_LONG, 8 * pixel))
                grey = builder.and_(shifted, ir.Constant(_LONG, 255))
                number = builder.load(builder.gep(table, [grey]))
                row = builder.insert_element(row, number, ir.Constant(_INT, i))
            address = _address(context, builder, signature.args[11], arguments[11], position)
            address = builder.bitcast(address, _vector(8).as_pointer())
            # The division hides behind the loads: that by 1 costs nothing either.
            builder.store(builder.fdiv(row, arguments[2]), address).align = 4
            position = builder.add(position, arguments[13])
        return context.get_dummy_value()

    size = types.intp
    return types.void(pixels, values, lengths, *[size] * 8, target, size, size), generate


# Where BLAS's single-precision matrix product stands, as SciPy publishes it for compiled code.
# It is given to compiled code as an argument: an address belongs to one process, and compiled
# code is kept for the next.
SGEMM = get_cython_function_address("scipy.linalg.cython_blas", "sgemm")


@intrinsic
def matrix_product(
    typing, sgemm, flip_a, flip_b, m, n, k, a, a_at, a_step, b, b_at, b_step, keep, c, c_at, c_step
):
    """c = op(a) op(b) + keep * c by BLAS, for matrices stored column by column.

    op(a) is (m, k), op(b) (k, n), c (m, n), inside one-dimensional float32 arrays from
    `*_at` on with `*_step` values from column to column; `flip_*` transposes.
    """

    def generate(context, builder, signature, arguments):
        types_of = dict(zip(range(len(arguments)), signature.args, strict=True))

        def reference(value):
            place = cgutils.alloca_once(builder, value.type)
            builder.store(value, place)
            return place

        def integer(i):
            return reference(builder.trunc(arguments[i], _INT))

        def letter(i):
            byte = ir.IntType(8)
            t, n = ir.Constant(byte, ord("T")), ir.Constant(byte, ord("N"))
            return reference(builder.select(arguments[i], t, n))

        def matrix(i):
            return _address(context, builder, types_of[i], arguments[i], arguments[i + 1])

        one = reference(ir.Constant(_FLOAT, 1.0))
        given = [letter(1), letter(2), integer(3), integer(4), integer(5), one]
        given += [matrix(6), integer(8), matrix(9), integer(11)]
        given += [reference(arguments[12]), matrix(13), integer(15)]
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in given])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), given)
        return context.get_dummy_value()

    size, flag = types.intp, types.boolean
    matrices = (a, size, size, b, size, size, types.float32, c, size, size)
    return types.void(size, flag, flag, size, size, size, *matrices), generate
