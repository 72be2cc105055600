"""Loops over training sequences with changes of the weights; their source is printed behind the steps of every net and compiled with them.

`step`, `readout`, `gather` and the others named here are the printed functions; ENTER, OUTPUT and OUTPUTS are where errors enter the
row, and where in it the outputs lie. In lanes, number v of lane l stands at many[v * LANES + l]: the rows `now` and `before` of ROW numbers
each, then the weights from WEIGHTS and the derivatives from CARRIED on.
"""

import numpy as np

__all__ = ["learn", "learn_backward", "learn_forward", "learn_in_lanes"]

step = readout = gather = coefficients = direct = advance = collect = back = weights = touched = None  # printed for each net
step_in_lanes = give = take = None
ENTER = OUTPUT = OUTPUTS = LANES = ROW = WEIGHTS = CARRIED = 0


def judge(now, target, adjoint, found):
    """Errors of one step into `adjoint` and into `found`: the largest, their sums, the largest one of the last step."""
    largest = 0.0
    for o in range(OUTPUTS):
        error = now[OUTPUT + o] - target[o]
        adjoint[ENTER + o] = error
        largest = max(largest, abs(error))
        found[1] += abs(error)
        found[2] += error * error
    found[0] = max(found[0], largest)
    found[3] = largest


def change(free, free_w, free_back, alpha, g, w, w_back):
    """w -= alpha g of the free weights, in both of their layouts."""
    for j in range(free.shape[0]):
        delta = alpha * g[free[j]]
        w[free_w[j]] -= delta
        w_back[free_back[j]] -= delta


def learn(starts, x, target, has_target, w, w_back, free, free_w, free_back, spans, alpha, every_step, rows, s, k, a, p, g, found, zero):
    """The truncated rule over many sequences; found[n] = (largest, summed absolute, summed squared, last largest error) of each."""
    for n in range(starts.shape[0] - 1):
        rows[:] = 0.0
        p[:] = 0.0
        g[:] = 0.0
        now, before, adjoint, row, coefficient = rows[1], rows[0], a[0], s[0], k[0]
        for t in range(starts[n], starts[n + 1]):
            step(now, before, x[t], w, zero)
            gather(now, before, x[t], row, zero)
            coefficients(now, before, x[t], coefficient, zero)
            advance(x[t], row, coefficient, p, zero)
            if has_target[t]:
                readout(now, before, x[t], w, zero)
                gather(now, before, x[t], row, zero)
                adjoint[:] = 0.0
                judge(now, target[t], adjoint, found[n])
                if alpha > 0.0:
                    direct(now, before, x[t], w_back, adjoint, zero)
                    collect(now, before, x[t], row, adjoint, p, g, zero)
                    if every_step:
                        first, last = touched(spans, x[t])
                        for part in range(2):
                            for j in range(0 if part == 0 else first, spans[0] if part == 0 else last):
                                delta = alpha * g[free[j]]
                                w[free_w[j]] -= delta
                                w_back[free_back[j]] -= delta
                                g[free[j]] = 0.0
            now, before = before, now
        if alpha > 0.0 and not every_step:
            change(free, free_w, free_back, alpha, g, w, w_back)


def learn_in_lanes(starts, x, target, first, w, w_back, free, free_w, free_back, alpha, dense_w, dense_p, many, rows, s, a, p, g, found,
                   zero):
    """The truncated rule for a net in each lane: w[l] learns the sequences first[l] to first[l + 1], which have targets at their ends only.

    dense_w, dense_p say which weights and derivatives every step needs. A lane that has ended a sequence begins its next one; a lane that
    has no more goes on from x[0], and nothing is made of it.
    """
    nets = first.shape[0] - 1
    at, number = np.zeros(nets, np.int64), first[:nets].copy()
    now, before, row, adjoint = rows[1], rows[0], s[0], a[0]
    many[:] = 0.0
    p[:] = 0.0
    for lane in range(nets):
        at[lane] = starts[first[lane]] if first[lane] < first[lane + 1] else 0
        for j in dense_w:
            many[(WEIGHTS + j) * LANES + lane] = w[lane, j]
    while True:
        steps = 0
        for lane in range(nets):
            if number[lane] < first[lane + 1]:
                left = starts[number[lane] + 1] - at[lane]
                steps = left if steps == 0 else min(steps, left)
        if steps == 0:
            break
        for q in range(steps):
            for lane in range(nets):
                give(x[at[lane] + q], w[lane], many, lane)
            step_in_lanes(many, zero)
            for lane in range(nets):
                take(x[at[lane] + q], p[lane], many, lane)
        for lane in range(nets):
            n = number[lane]
            if n == first[lane + 1]:
                continue
            at[lane] += steps
            if at[lane] < starts[n + 1]:
                continue
            t = starts[n + 1] - 1
            for v in range(ROW):
                now[v], before[v] = many[v * LANES + lane], many[(ROW + v) * LANES + lane]
            for j in dense_p:
                p[lane, j] = many[(CARRIED + j) * LANES + lane]
            readout(now, before, x[t], w[lane], zero)
            gather(now, before, x[t], row, zero)
            adjoint[:] = 0.0
            judge(now, target[t], adjoint, found[n])
            g[:] = 0.0
            direct(now, before, x[t], w_back[lane], adjoint, zero)
            collect(now, before, x[t], row, adjoint, p[lane], g, zero)
            change(free, free_w, free_back, alpha, g, w[lane], w_back[lane])
            p[lane] = 0.0
            for v in range(2 * ROW):
                many[v * LANES + lane] = 0.0
            for j in dense_p:
                many[(CARRIED + j) * LANES + lane] = 0.0
            for j in dense_w:
                many[(WEIGHTS + j) * LANES + lane] = w[lane, j]
            number[lane] += 1
            if number[lane] == first[lane + 1]:
                at[lane] = 0


def learn_backward(starts, x, target, has_target, w, w_back, free_w, free_back, alpha, window, rows, a, a_x, g, found, zero):
    """Backpropagation through time over each sequence, at most `window` steps back from every error's block; updates at its end."""
    for n in range(starts.shape[0] - 1):
        first, last = starts[n], starts[n + 1]
        rows[0] = 0.0
        for t in range(first, last):
            step(rows[t - first + 1], rows[t - first], x[t], w, zero)
        steps = last - first
        g[:] = 0.0
        a[steps] = 0.0
        for q in range(steps - 1, -1, -1):
            t = first + q
            a[q] = 0.0
            if has_target[t]:
                readout(rows[q + 1], rows[q], x[t], w, zero)
                largest = 0.0
                for o in range(OUTPUTS):
                    error = rows[q + 1, OUTPUT + o] - target[t, o]
                    a[q + 1, ENTER + o] += error
                    largest = max(largest, abs(error))
                    found[n, 1] += abs(error)
                    found[n, 2] += error * error
                found[n, 0] = max(found[n, 0], largest)
                if q == steps - 1:
                    found[n, 3] = largest
            if alpha > 0.0:
                back(rows[q + 1], rows[q], x[t], w_back, a[q + 1], a[q], a_x, zero)
                weights(rows[q + 1], rows[q], x[t], a[q + 1], g, zero)
                if q % window == 0:
                    a[q] = 0.0
        if alpha > 0.0:
            change(free_back, free_w, free_back, alpha, g, w, w_back)


def learn_forward(starts, x, target, has_target, w, w_back, free_w, free_back, spans, alpha, every_step, states, reach, rows, a, b, a_x, p,
                  q, source, g, found, zero):
    """Real-time recurrent learning: p[r, m] = d state_r / d w of every weight reach[m] that a state depends on; found as in `learn`."""
    for n in range(starts.shape[0] - 1):
        rows[:] = 0.0
        p[:] = 0.0
        g[:] = 0.0
        for t in range(starts[n], starts[n + 1]):
            step(rows[1], rows[0], x[t], w, zero)
            if has_target[t]:
                readout(rows[1], rows[0], x[t], w, zero)
                a[:] = 0.0
                b[:] = 0.0
                judge(rows[1], target[t], a, found[n])
                if alpha > 0.0:
                    back(rows[1], rows[0], x[t], w_back, a, b, a_x, zero)
                    weights(rows[1], rows[0], x[t], a, g, zero)
                    for r in range(states.shape[0]):
                        for m in range(reach.shape[0]):
                            g[reach[m]] += b[states[r]] * p[r, m]
            if alpha > 0.0:
                for r in range(states.shape[0]):
                    a[:] = 0.0
                    b[:] = 0.0
                    a[states[r]] = 1.0
                    back(rows[1], rows[0], x[t], w_back, a, b, a_x, zero)
                    weights(rows[1], rows[0], x[t], a, source, zero)
                    for m in range(reach.shape[0]):
                        q[r, m] = source[reach[m]]
                        source[reach[m]] = 0.0
                    for k in range(states.shape[0]):
                        if b[states[k]] != 0.0:
                            for m in range(reach.shape[0]):
                                q[r, m] += b[states[k]] * p[k, m]
                p[:] = q
            if has_target[t] and every_step and alpha > 0.0:
                first, last = touched(spans, x[t])
                for part in range(2):
                    for j in range(0 if part == 0 else first, spans[0] if part == 0 else last):
                        delta = alpha * g[free_back[j]]
                        w[free_w[j]] -= delta
                        w_back[free_back[j]] -= delta
                        g[free_back[j]] = 0.0
            rows[0] = rows[1]
        if alpha > 0.0 and not every_step:
            change(free_back, free_w, free_back, alpha, g, w, w_back)
