"""The matrix product of BLAS, for compiled code."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

from lottery_core.training.vectors import address_of, elements

_SIZE = ir.IntType(32)  # BLAS's whole numbers


class Matrix(NamedTuple):
    """A matrix stored column by column inside a one-dimensional float32 array: from `at` on, with
    `step` values from column to column. BLAS takes it transposed where `flip` is true."""

    values: np.ndarray
    at: int
    step: int
    flip: bool


# Where BLAS's single-precision matrix product stands, as SciPy publishes it for compiled code.
# It is given to compiled code as an argument: an address belongs to one process, and compiled
# code is kept for the next.
SGEMM = get_cython_function_address("scipy.linalg.cython_blas", "sgemm")


@intrinsic
def matrix_product(typing, sgemm, sizes, a, b, keep, c):
    """c = op(a) op(b) + keep * c by BLAS, for a `Matrix` each, where op transposes one to be
    flipped. For `sizes` (m, n, k), op(a) is (m, k), op(b) (k, n) and c (m, n)."""

    def generate(context, builder, signature, arguments):
        def reference(value):
            place = cgutils.alloca_once(builder, value.type)
            builder.store(value, place)
            return place

        def integer(value):
            return reference(builder.trunc(value, _SIZE))

        def matrix(i):
            """(letter, address, step) as BLAS takes them."""
            values, at, step, flip = elements(builder, arguments[i], 4)
            byte = ir.IntType(8)
            t, n = ir.Constant(byte, ord("T")), ir.Constant(byte, ord("N"))
            letter = builder.select(builder.trunc(flip, ir.IntType(1)), t, n)
            address = address_of(context, builder, signature.args[i][0], values, at)
            return reference(letter), address, integer(step)

        m, n, k = (integer(size) for size in elements(builder, arguments[1], 3))
        (flip_a, a_at, a_step), (flip_b, b_at, b_step) = matrix(2), matrix(3)
        _, c_at, c_step = matrix(5)
        one = reference(ir.Constant(ir.FloatType(), 1.0))
        given = [flip_a, flip_b, m, n, k, one, a_at, a_step, b_at, b_step]
        given += [reference(arguments[4]), c_at, c_step]
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in given])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), given)
        return context.get_dummy_value()

    three = types.UniTuple(types.intp, 3)
    return types.void(types.intp, three, a, b, types.float32, c), generate
