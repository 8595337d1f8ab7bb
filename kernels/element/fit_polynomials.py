"""Fits the polynomials of kernels/element/polynomials.h and prints them as C++ constants.

Weighted minimax (Remez exchange, mpmath, 60 digits). Coefficients are rounded to the
element type one at a time, lowest first, and the rest is fitted again after each, so
that later coefficients make up for the rounding of earlier ones.

    exp(-s)    = 1 - s + s^2 E(s)     on |s| <= ln(2) / 2, relative to exp
    log1p(z)   = z + z^2 L(z)         on [0, 1/e], relative to log1p
    1 / (1+z)  = R(z)                 on [0, 1/e], relative
    log1p(e^-y) = ln(2) - y/2 + y^2 C(y^2)   on y in [0, 1], relative to log1p
    1 / (1 + e^y) = 1/2 - y/4 + y^3 S(y^2)   on y in [0, 1], relative

The fine ones are of the functions whose results have two parts (logarithm-inl.h):

    exp(-s)    = 1 - s + s^2 E(s)     on |s| <= ln(2) / 2, relative to exp
    log1p(z)   = z + z^2 L(z)         on [0, 1/e], relative to log1p
    log(cosh(y / 2)) = y^2 C(y^2)     on y in [0, 1], relative to ln(2)
    log1p(f)   = f + f^2 G(f)         on [sqrt(1/2) - 1, sqrt(2) - 1], relative to log1p

Run: python kernels/element/fit_polynomials.py
"""

import struct

from mpmath import (
    cos,
    cosh,
    exp,
    log,
    log1p,
    lu_solve,
    matrix,
    mp,
    mpf,
    nstr,
    pi,
    polyval,
    sqrt,
    tanh,
)

mp.dps = 60


def remez(f, weight, a, b, degree, iterations=40):
    """The polynomial p of `degree` with the smallest max |p - f| weight on [a, b]."""
    n = degree + 2
    nodes = [(a + b) / 2 - (b - a) / 2 * cos(pi * i / (n - 1)) for i in range(n)]
    for _ in range(iterations):
        system, right = matrix(n, n), matrix(n, 1)
        for i, x in enumerate(nodes):
            for j in range(degree + 1):
                system[i, j] = x**j
            system[i, n - 1] = (-1) ** i / weight(x)
            right[i] = f(x)
        solution = lu_solve(system, right)
        coefficients = [solution[j] for j in range(degree + 1)]
        level = abs(solution[n - 1])
        count = 40 * n
        grid = [(a + b) / 2 - (b - a) / 2 * cos(pi * mpf(i) / count) for i in range(count + 1)]
        errors = [(polyval(coefficients[::-1], x) - f(x)) * weight(x) for x in grid]
        extrema = alternating_extrema(errors)
        worst = max(abs(e) for e in errors)
        if len(extrema) < n or worst / level < mpf("1.001"):
            return coefficients, worst
        while len(extrema) > n:
            drop_last = abs(errors[extrema[-1]]) < abs(errors[extrema[0]])
            extrema.pop(-1 if drop_last else 0)
        nodes = [grid[i] for i in extrema]
    return coefficients, worst


def alternating_extrema(errors):
    """Indices of the largest error of each run of one sign."""
    extrema: list[int] = []
    for i, e in enumerate(errors):
        if extrema and errors[extrema[-1]] * e > 0:
            if abs(e) > abs(errors[extrema[-1]]):
                extrema[-1] = i
        else:
            extrema.append(i)
    return extrema


def rounded(x, kind):
    """`x` rounded to float32 or float64."""
    return mpf(struct.unpack("f", struct.pack("f", float(x)))[0] if kind == "float" else float(x))


def fit_rounded(f, weight, a, b, degree, kind, fixed=(), careful=99):
    """Coefficients of type `kind`, the first `careful` rounded one by one; `fixed` are given."""
    done = [mpf(c) for c in fixed]
    while len(done) <= degree:
        k = len(done)

        def rest(x, k=k):
            return (f(x) - polyval(done[::-1], x) if done else f(x)) / x**k

        def rest_weight(x, k=k):
            return weight(x) * abs(x) ** k

        coefficients, _ = remez(rest, rest_weight, a, b, degree - k)
        # In float64 the cost of rounding is far below half an ulp of the result, and the
        # exchange has no digits left to reduce it.
        take = 1 if kind == "float" and k < careful else len(coefficients)
        done.extend(rounded(c, kind) for c in coefficients[:take])
    # An odd count avoids the grid point 0, where f is a limit.
    grid = [a + (b - a) * mpf(2 * i + 1) / 4002 for i in range(2001)]
    worst = max(abs((polyval(done[::-1], x) - f(x)) * weight(x)) for x in grid)
    return done, worst


def show(name, coefficients, worst, kind):
    """Prints an array, highest power first, as Horner's scheme reads it."""
    print(f"  // Relative error 2^{nstr(log(worst, 2), 5)}.")
    print(f"  struct {name} {{")
    print(f"    static constexpr {kind} kTerms[] = {{")
    for c in reversed(coefficients):
        print(f"        {float(c).hex()}{'f' if kind == 'float' else ''},")
    print("    };")
    print("  };")


def fit_fine(kind, exp_degree, log1p_degree, center_degree, log_degree):
    half = log(2) / 2 * mpf("1.0001")
    tiny = mpf(2) ** -40
    # The grid has both sides of 0 but does not cross it.
    e, worst = fit_rounded(
        lambda r: (exp(r) - 1 - r) / r**2 if abs(r) > tiny else mpf(1) / 2,
        lambda r: r * r * exp(-r) if abs(r) > tiny else tiny,
        -half,
        half * mpf("0.99999"),
        exp_degree,
        kind,
        fixed=[0.5],
    )
    show("FineExpOfMinus", [c * (-1) ** i for i, c in enumerate(e)], worst, kind)
    lg, worst = fit_rounded(
        lambda z: (log1p(z) - z) / z**2,
        lambda z: z * z / log1p(z),
        mpf(2) ** -12,
        exp(mpf(-1)) * mpf("1.001"),
        log1p_degree,
        kind,
        fixed=[-0.5],
    )
    show("FineLog1p", lg, worst, kind)
    c, worst = fit_rounded(
        lambda s: log(cosh(sqrt(s) / 2)) / s,
        lambda s: s / log(2),
        mpf(2) ** -24,
        mpf(1),
        center_degree,
        kind,
        fixed=[0.125],
    )
    show("FineCenter", c, worst, kind)
    g, worst = fit_rounded(
        lambda f: (log1p(f) - f) / f**2 if abs(f) > tiny else -mpf(1) / 2,
        lambda f: f * f / abs(log1p(f)) if abs(f) > tiny else tiny,
        sqrt(mpf(1) / 2) - mpf("1.0001"),
        sqrt(mpf(2)) - mpf("0.9999"),
        log_degree,
        kind,
        fixed=[-0.5],
        careful=4,
    )
    show("FineLog", g, worst, kind)


def fit_type(kind, exp_degree, log1p_degree, reciprocal_degree, center_degree, slope_degree):
    half = log(2) / 2 * mpf("1.0001")
    tiny = mpf(2) ** -40
    near = mpf(2) ** -12
    # The grid has both sides of 0 but does not cross it.
    e, worst = fit_rounded(
        lambda r: (exp(r) - 1 - r) / r**2 if abs(r) > tiny else mpf(1) / 2,
        lambda r: r * r * exp(-r) if abs(r) > tiny else tiny,
        -half,
        half * mpf("0.99999"),
        exp_degree,
        kind,
        fixed=[0.5],
    )
    show("ExpOfMinus", [c * (-1) ** i for i, c in enumerate(e)], worst, kind)
    lg, worst = fit_rounded(
        lambda z: (log1p(z) - z) / z**2,
        lambda z: z * z / log1p(z),
        near,
        exp(mpf(-1)) * mpf("1.001"),
        log1p_degree,
        kind,
        fixed=[-0.5],
    )
    show("Log1p", lg, worst, kind)
    r, worst = fit_rounded(
        lambda z: 1 / (1 + z),
        lambda z: 1 + z,
        near,
        exp(mpf(-1)) * mpf("1.001"),
        reciprocal_degree,
        kind,
    )
    show("Reciprocal", r, worst, kind)

    def center(s):
        return log(cosh(sqrt(s) / 2)) / s

    c, worst = fit_rounded(
        center,
        lambda s: s / (log(2) - sqrt(s) / 2 + s * center(s)),
        mpf(2) ** -24,
        mpf(1),
        center_degree,
        kind,
        fixed=[0.125],
    )
    show("CenterLoss", c, worst, kind)

    def slope(s):
        y = sqrt(s)
        return (y / 4 - tanh(y / 2) / 2) / (y * s)

    c, worst = fit_rounded(
        slope,
        lambda s: s * sqrt(s) / (mpf(1) / 2 - tanh(sqrt(s) / 2) / 2),
        mpf(2) ** -20,
        mpf(1),
        slope_degree,
        kind,
    )
    show("CenterSlope", c, worst, kind)


if __name__ == "__main__":
    print("float32")
    fit_type("float", 5, 6, 3, 4, 3)
    fit_fine("float", 5, 6, 4, 9)
    print("float64")
    fit_type("double", 11, 14, 5, 10, 9)
    fit_fine("double", 12, 16, 10, 21)
