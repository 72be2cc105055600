"""Lines of printed loops: an entry of an array, a loop over a vector, a matrix times a vector."""

__all__ = ["UNROLLED", "item", "length_text", "loop_over", "product_lines", "stretches"]

UNROLLED = 8
"""Loops up to this length are left to the compiler to unroll."""


def item(array, place, index):
    """Text of array[place + index]."""
    return f"{array}[{place} + {index}]" if place else f"{array}[{index}]"


def length_text(length, few=UNROLLED):
    """Text of a loop's length. LLVM unrolls loops of known length before it would vectorise them; adding a zero that it does not know
    prevents that where vectors pay."""
    return str(length) if length <= few else f"{length} + zero"


def loop_over(index, length, body, few=UNROLLED):
    """Lines of a loop whose body are the given lines; none for no body."""
    return body and [f"    for {index} in range({length_text(length, few)}):", *(f"        {line}" for line in body)]


def stretches(flags):
    """(first, last + 1) of every stretch of true values."""
    flags, found, start = [*flags, False], [], None
    for k, flag in enumerate(flags):
        if flag and start is None:
            start = k
        if not flag and start is not None:
            found.append((start, k))
            start = None
    return found


def product_lines(out, out_place, columns, w, w_place, vector, vector_place, rows):
    """Lines: out_c += sum_r vector_r w[r, c], four rows at a time, so that `out` is read and written a quarter as often.

    Slices begin at zero again, which spares the inner loop the test for negative indices that would keep it from vectors.
    """
    lines, span = [], f"{w_place} + r * {columns}:{w_place} + (r + 4) * {columns}"
    whole = rows - rows % 4
    if whole:
        lines += [f"    for r in range(0, {whole}, 4):", f"        u = {w}[{span}]"]
        lines += [f"        v{k} = {item(vector, vector_place + k, 'r')}" for k in range(4)]
        terms = " + ".join(f"v{k} * {item('u', k * columns, 'i')}" for k in range(4))
        lines += [f"        for i in range({length_text(columns)}):", f"            {item(out, out_place, 'i')} += {terms}"]
    if rows > whole:
        lines += [f"    v{k} = {vector}[{vector_place + whole + k}]" for k in range(rows - whole)]
        terms = " + ".join(f"v{k} * {item(w, w_place + (whole + k) * columns, 'i')}" for k in range(rows - whole))
        lines += [f"    for i in range({length_text(columns)}):", f"        {item(out, out_place, 'i')} += {terms}"]
    return lines
