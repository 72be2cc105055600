"""The innermost loop of a matrix product: a tile of the result that stays in registers, written as LLVM code.

Numba turns no loop over scalars into this. For matrices of up to some hundred rows it is faster than a call of BLAS, which packs both
factors anew each time; here the right one is packed once, in panels of COLUMNS columns: entry (k, c) of a panel at k COLUMNS + c.
"""

import inspect

import numpy as np

__all__ = ["BLOCK", "COLUMNS", "DEPTH", "ROWS", "STRIP", "in_strips", "strip_source", "tile_source"]


def _has_avx512():
    """Whether the loops are compiled for a processor with vectors of eight numbers and 32 registers of them."""
    try:
        from llvmlite import binding
    except ImportError:
        return False
    return bool(binding.get_host_cpu_features().get("avx512f"))


LANES, ROWS, COLUMNS = (8, 6, 16) if _has_avx512() else (4, 5, 8)
"""Numbers in a vector, and size of a tile: twelve vectors of 32 registers, else ten of the sixteen that most processors have.

Each entry of a product is the same sum in the same order in both.
"""

DEPTH = 256
"""Rows of a panel that a tile takes at a time: the level-1 cache holds them."""

BLOCK = 60
"""Rows whose tiles take one panel after the other: the level-2 cache holds DEPTH numbers of each."""

STRIP = 32
"""Columns of a tile of one row, for products with one vector: eight vectors of four numbers, as many as additions are under way at a time,
or four of eight."""


def tile_source(interpreted=False):
    """Source text of `tile`, as `plain_tile` describes it, and of the constants of loops over tiles."""
    sizes = f"LANES, ROWS, COLUMNS, DEPTH, BLOCK = {LANES}, {ROWS}, {COLUMNS}, {DEPTH}, {BLOCK}"
    return "\n\n\n".join([sizes, _source("tile", interpreted)])


def strip_source(interpreted=False):
    """Source text of `strip`: a tile of one row and STRIP columns, with the same arguments; and of STRIP."""
    text = _source("strip", interpreted).replace("ROWS", "1").replace("COLUMNS", str(STRIP))
    return "\n\n\n".join([f"LANES, STRIP = {LANES}, {STRIP}", text])


def _source(name, interpreted):
    innermost = plain_tile if interpreted else llvm_tile
    text = inspect.getsource(innermost).rstrip().replace("_tile", f"_{name}")
    return "\n\n\n".join([text, f"{name} = {innermost.__name__.replace('_tile', f'_{name}')}"])


def plain_tile(rows, first, length, panel, place, depth, out, into, width, add):
    """The ROWS x COLUMNS numbers from `into` on in `out`, whose rows lie `width` apart, (+)= ROWS rows, from `first` on in `rows`, `length`
    apart, of `depth` numbers times as many rows of a panel, from `place` on in the flat array `panel`."""
    a, c = rows.reshape(-1), out.reshape(-1)
    b = panel[place:place + depth * COLUMNS].reshape(depth, COLUMNS)
    for r in range(ROWS):
        o = c[into + r * width:into + r * width + COLUMNS]
        o[:] = (o if add else 0.0) + a[first + r * length:first + r * length + depth] @ b


def llvm_tile(typing_context, rows, first, length, panel, place, depth, out, into, width, add):
    """The same as an intrinsic function of Numba (`modules.load`). Nothing is checked: the tile must lie inside its arrays."""
    from llvmlite import ir
    from numba import types
    from numba.np.arrayobj import make_array

    number, index, lanes = ir.DoubleType(), ir.IntType(64), LANES
    vector = ir.VectorType(number, lanes)
    nothing, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0.0] * lanes)
    first_lane = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    tile = [(r, c) for r in range(ROWS) for c in range(0, COLUMNS, lanes)]

    def emit(context, builder, signature, args):
        rows, first, length, panel, place, depth, out, into, width, add = args

        def pointer(array, at):
            """To an entry of the argument of that place, an array."""
            return builder.gep(make_array(signature.args[array])(context, builder, args[array]).data, [at])

        def as_vector(start, at):
            return builder.bitcast(builder.gep(start, [at]), vector.as_pointer())

        a, b, c = pointer(0, first), pointer(3, place), pointer(6, into)
        targets = [as_vector(c, builder.add(builder.mul(width, index(r)), index(k))) for r, k in tile]
        starts = [builder.select(add, builder.load(t, align=8), zeros) for t in targets]
        before, loop, after = builder.block, builder.append_basic_block("tile"), builder.append_basic_block("stored")
        builder.branch(loop)

        builder.position_at_end(loop)
        step, sums = builder.phi(index), [builder.phi(vector) for _ in tile]
        row = builder.gep(b, [builder.mul(step, index(COLUMNS))])
        columns = {k: builder.load(as_vector(row, index(k)), align=8) for k in range(0, COLUMNS, lanes)}
        entries = [builder.load(builder.gep(a, [builder.add(builder.mul(length, index(r)), step)])) for r in range(ROWS)]
        spread = [builder.shuffle_vector(builder.insert_element(nothing, e, index(0)), nothing, first_lane) for e in entries]
        added = [builder.fadd(builder.fmul(spread[r], columns[k], flags=["contract"]), s, flags=["contract"])
                 for (r, k), s in zip(tile, sums, strict=True)]
        following = builder.add(step, index(1))
        for phi, start, again in zip([step, *sums], [index(0), *starts], [following, *added], strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(again, loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)

        builder.position_at_end(after)
        for total, target in zip(added, targets, strict=True):
            builder.store(total, target, align=8)
        return context.get_dummy_value()

    return types.void(rows, first, length, panel, place, depth, out, into, width, add), emit


def in_strips(matrix):
    """The entries of a matrix, flat: STRIP columns after the other, each a panel; then those that are left."""
    whole = matrix.shape[1] // STRIP * STRIP
    panels = matrix[:, :whole].reshape(len(matrix), -1, STRIP).swapaxes(0, 1)
    return np.concatenate([panels.ravel(), matrix[:, whole:].ravel()])
