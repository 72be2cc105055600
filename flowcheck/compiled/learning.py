"""Loops over training sequences with changes of the weights; their source is printed behind the steps of every net and compiled with them.

`step`, `readout`, `gather` and the others named here are the printed functions; ENTER, OUTPUT and OUTPUTS are where errors enter the
row, and where in it the outputs lie.
"""

__all__ = ["learn", "learn_backward", "learn_forward"]

step = readout = gather = coefficients = direct = advance = collect = back = weights = touched = None  # printed for each net
ENTER = OUTPUT = OUTPUTS = 0


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
                largest = 0.0
                for o in range(OUTPUTS):
                    error = now[OUTPUT + o] - target[t, o]
                    adjoint[ENTER + o] = error
                    largest = max(largest, abs(error))
                    found[n, 1] += abs(error)
                    found[n, 2] += error * error
                found[n, 0] = max(found[n, 0], largest)
                found[n, 3] = largest
                if alpha > 0.0:
                    direct(now, before, x[t], w_back, adjoint, zero)
                    collect(now, before, x[t], row, adjoint, p, g, zero)
                    if every_step:
                        first, last = touched(spans, x[t])
                        for part in range(2):
                            for j in range(0 if part == 0 else first, spans[0] if part == 0 else last):
                                change = alpha * g[free[j]]
                                w[free_w[j]] -= change
                                w_back[free_back[j]] -= change
                                g[free[j]] = 0.0
            now, before = before, now
        if alpha > 0.0 and not every_step:
            for j in range(free.shape[0]):
                change = alpha * g[free[j]]
                w[free_w[j]] -= change
                w_back[free_back[j]] -= change


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
            for j in range(free_w.shape[0]):
                change = alpha * g[free_back[j]]
                w[free_w[j]] -= change
                w_back[free_back[j]] -= change


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
                largest = 0.0
                for o in range(OUTPUTS):
                    error = rows[1, OUTPUT + o] - target[t, o]
                    a[ENTER + o] = error
                    largest = max(largest, abs(error))
                    found[n, 1] += abs(error)
                    found[n, 2] += error * error
                found[n, 0] = max(found[n, 0], largest)
                found[n, 3] = largest
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
                        change = alpha * g[free_back[j]]
                        w[free_w[j]] -= change
                        w_back[free_back[j]] -= change
                        g[free_back[j]] = 0.0
            rows[0] = rows[1]
        if alpha > 0.0 and not every_step:
            for j in range(free_w.shape[0]):
                change = alpha * g[free_back[j]]
                w[free_w[j]] -= change
                w_back[free_back[j]] -= change
