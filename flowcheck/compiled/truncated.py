"""Print the truncated rule of 1997: coefficients of one step, gathered sources, and derivatives p brought forward (`carried` has the rule).

Two forms of the same: a step at a time with literal places, for small nets; a few steps at a time with slices, for wide ones.
"""

from .lines import item, length_text, loop_over

__all__ = ["print_carried", "print_online"]


def print_online(carried):
    """Source text of coefficients, gather, and the two halves of carry for one step at a time: advance(...) and collect(...).

    Places are literal: for nets so small that slices would cost more than the arithmetic.
    """
    advance, collect = ["def advance(x, s, k, p, zero):"], ["def collect(now, before, x, s, a, p, g, zero):"]
    for block in carried.blocks:
        if block.net in carried.diagonal:
            carried._refuse(f"{block.net} is diagonal")
        source, gathered = carried.source_place(block.net)
        one_hot, numbers = gathered < block.columns, range(len(block.states))
        parts = [_terms(carried, block, n) for n in numbers]
        read = [line.replace("k[t, ", "k[") for lines, _, _ in parts for line in lines]
        constant = all(kept == [(1.0, n)] for n, (_, kept, _) in zip(numbers, parts, strict=True))

        def update(columns, with_source, p, parts=parts, numbers=numbers, source=source):
            body = [f"q{n} = {p[n]}" for n in numbers]
            for n, (_, kept, has_u) in zip(numbers, parts, strict=True):
                terms = [f"q{j}" if d == 1.0 else f"{d} * q{j}" for d, j in kept]
                terms += [f"u{n} * {item('s', source, 'j')}"] if has_u and with_source else []
                body.append(f"{p[n]} = {' + '.join(terms) or '0.0'}")
            return [f"for j in range({columns}):", *(f"    {line}" for line in body)]

        p = [f"p[{place} + i * {block.columns} + j]" for place in block.places]
        inner = [*read, *(update(length_text(gathered), True, p) if gathered else [])]
        if one_hot:
            inner += [] if constant else update(f"{gathered}, {block.columns}", False, p)
            inner += [f"p[{place} + i * {block.columns} + {gathered} + x] += u{n}"
                      for n, place in enumerate(block.places) if parts[n][2]]
        advance += loop_over("i", block.lanes, inner)
        errors = " + ".join(f"a[{carried.storage.place[c]} + i] * {p[n]}" for n, c in enumerate(block.states))
        grad = f"g[{carried.gradient[block.net]} + ({block.row}) * {block.columns} + j]"
        collect += loop_over("i", block.lanes, [f"for j in range({length_text(block.columns)}):", f"    {grad} += {errors}"])
    for net in carried.direct:
        source, gathered = carried.source_place(net)
        width, gradient = carried.width(net), carried.gradient[net]
        body = [f"e = a[{carried.storage.place[net]} + i]"]
        if gathered:
            body += [f"for j in range({length_text(gathered)}):", f"    g[{gradient} + i * {width} + j] += e * {item('s', source, 'j')}"]
        body += [f"g[{gradient} + i * {width} + {gathered} + x] += e"] if gathered < width else []
        collect += loop_over("i", carried.storage.length(net), body)
    return "\n\n\n".join("\n".join([*lines, "    pass"]) for lines in (_coefficients(carried), _gather(carried), advance, collect))


def print_carried(carried, chunks):
    """Source text of coefficients(now, before, x, k, zero), gather(now, before, x, s, zero) and carry(...), which leaves out what `chunks`
    do."""
    found = _coefficients(carried), _gather(carried), _carry(carried, chunks)
    return "\n\n\n".join("\n".join([*lines, "    pass"]) for lines in found)


def _coefficients(carried):
    return ["def coefficients(now, before, x, k, zero):", *carried.lines]


def _gather(carried):
    lines, place = ["def gather(now, before, x, s, zero):"], 0
    for parts in carried.gathered_parts():
        for source, length in parts:
            value = "1.0" if source == "1" else carried.printer.entry(source, "i")
            lines += loop_over("i", length, [f"{item('s', place, 'i')} = {value}"])
            place += length
    return lines


def _carry(carried, chunks):
    """carry(steps, rows, x, s, k, a, p, g, errors, zero): bring p forward over some steps; where errors enter, add e p to dE/dw."""
    lines = ["def carry(steps, rows, x, s, k, a, p, g, errors, zero):"]
    for block in carried.blocks:
        if block not in chunks.blocks:
            lines += _diagonal_block(carried, block) if block.net in carried.diagonal else _dense_block(carried, block)
    lines += ["    if not errors:", "        return"]
    for net in carried.direct:
        if net not in chunks.direct:
            lines += _direct_block(carried, net)
    return lines


def _terms(carried, block, number):
    """(lines that read the coefficients of state `number` in lane i, text of sum of d p over the states, text of u or None, e)."""
    state, read, kept = block.states[number], [], []
    for j, other in enumerate(block.states):
        d = carried.keeps.get((state, other))
        if d is None:
            continue
        if isinstance(d, float):
            kept.append((d, j))
        else:
            read.append(f"d{number}{j} = {item('k', d, 'i').replace('k[', 'k[t, ')}")
            kept.append((f"d{number}{j}", j))
    u = carried.reach.get((state, block.net))
    if u is not None:
        read.append(f"u{number} = {item('k', u, 'i').replace('k[', 'k[t, ')}")
    return read, kept, u is not None


def _dense_block(carried, block):
    one_hot = carried.printer.one_hot and any(n in carried.storage.input_place for n, _, _ in carried.columns[block.net])
    source, gathered = carried.source_place(block.net)
    width, numbers = block.columns, range(len(block.states))
    parts = [_terms(carried, block, n) for n in numbers]
    constant = all(kept == [(1.0, n)] for n, (_, kept, _) in zip(numbers, parts, strict=True))

    def update(columns, with_source, with_errors):
        """Lines of the loop over columns."""
        body = [f"q{n} = p{n}[j]" for n in numbers]
        for n, (_, kept, has_u) in zip(numbers, parts, strict=True):
            terms = [f"q{j}" if d == 1.0 else f"{d} * q{j}" for d, j in kept]
            terms += [f"u{n} * {item('s_t', source, 'j')}"] if has_u and with_source else []
            body.append(f"r{n} = {' + '.join(terms) or '0.0'}")
        body += [f"p{n}[j] = r{n}" for n in numbers]
        body += ["g_i[j] += " + " + ".join(f"e{n} * r{n}" for n in numbers)] if with_errors else []
        return [f"for j in range({columns}):", *(f"    {line}" for line in body)]

    inner = []
    for with_errors in (True, False):
        here = update(length_text(gathered), True, with_errors) if gathered else []
        if one_hot:
            here += [] if constant else update(f"{gathered}, {width}", False, False)
            here += [f"p{n}[{gathered} + x[t]] += u{n}" for n in numbers if parts[n][2]]
            if with_errors:
                here += [f"for j in range({gathered}, {width}):", "    g_i[j] += " + " + ".join(f"e{n} * p{n}[j]" for n in numbers)]
        inner.append(here)
    lines = [f"for i in range({length_text(block.lanes)}):"]
    lines += [f"    p{n} = p[{place} + i * {width}:{place} + (i + 1) * {width}]" for n, place in enumerate(block.places)]
    gradient, row = carried.gradient[block.net], block.row
    lines += [f"    g_i = g[{gradient} + ({row}) * {width}:{gradient} + ({row} + 1) * {width}]", "    for t in range(steps):"]
    lines += [f"        {line}" for read, _, _ in parts for line in read]
    lines += [f"        e{n} = a[t, {carried.storage.place[c]} + i]" for n, c in enumerate(block.states)]
    lines += ["        s_t = s[t]", "        if errors:", *(f"            {line}" for line in inner[0]), "        else:",
              *(f"            {line}" for line in inner[1])]
    return [f"    {line}" for line in lines]


def _diagonal_block(carried, block):
    """A diagonal net has one weight per lane and source."""
    if block.row != "i":
        carried._refuse(f"{block.net} is diagonal and repeated")
    lines, numbers = [], range(len(block.states))
    parts = [_terms(carried, block, n) for n in numbers]
    for source, column, _ in carried.columns[block.net]:
        place = f" * {block.columns} + {column}"
        p = [f"p[{start} + i{place}]" for start in block.places]
        body = [line for read, _, _ in parts for line in read]
        body += [f"q{n} = {p[n]}" for n in numbers]
        value = "1.0" if source == "1" else _timed(carried, source)
        for n, (_, kept, has_u) in zip(numbers, parts, strict=True):
            terms = [f"{d} * q{j}" for d, j in kept] + ([f"u{n} * {value}"] if has_u else [])
            body.append(f"{p[n]} = {' + '.join(terms) or '0.0'}")
        body += ["if errors:", f"    g[{carried.gradient[block.net]} + i{place}] += " + " + ".join(
            f"a[t, {carried.storage.place[c]} + i] * {p[n]}" for n, c in enumerate(block.states))]
        lines += [f"    for i in range({length_text(block.lanes)}):", "        for t in range(steps):"]
        lines += [f"            {line}" for line in body]
    return lines


def _timed(carried, source):
    """Text of entry i of a source at step t of the rows at hand; row 0 is the step before the first."""
    array, place = carried.storage.array(source)
    if array == "x":
        return f"x[t, {place} + i]"
    return f"rows[t{' + 1' if array == 'now' else ''}, {place} + i]"


def _direct_block(carried, net):
    """Of a diagonal net."""
    rows, width, gradient = carried.storage.length(net), carried.width(net), carried.gradient[net]
    lines = [f"for i in range({length_text(rows)}):", f"    g_i = g[{gradient} + i * {width}:{gradient} + (i + 1) * {width}]",
             "    for t in range(steps):", f"        e = a[t, {carried.storage.place[net]} + i]"]
    for source, column, _ in carried.columns[net]:
        value = "1.0" if source == "1" else _timed(carried, source)
        lines.append(f"        g_i[{column}] += e * {value}")
    return [f"    {line}" for line in lines]
