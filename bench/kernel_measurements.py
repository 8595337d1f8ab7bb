"""Lists what ./dev bench measures of the kernel, on every instruction set of the machine."""

from __future__ import annotations

from collections.abc import Callable

import in_process
from in_process import Peer
from measurement import MEBI, Effort, Floors, Measurement, Result, alternate
from programs import Programs

Run = Callable[[str, Programs, Effort], Result]

DETECTOR = 8_000_000  # an image of a detector has 100,000 anchors of 80 classes


def against(case: str, peer: Peer, elements: int, threads: int = 1) -> Run:
    """Measures a case of kernel_bench against a peer that computes in process."""

    def run(name: str, programs: Programs, effort: Effort) -> Result:
        ours, theirs = alternate(
            effort.rounds,
            lambda: programs.kernel_rate(f"{case}/{elements}", effort.seconds / 2),
            lambda: programs.peer_rate(peer, elements, effort.seconds / 2, threads),
        )
        on = "one thread" if threads == 1 else f"{threads} threads"
        what = (
            f"{case} of {elements} elements (kernel_bench), {on}; peer: {peer.what}, "
            f"{peer.framework} {in_process.version(peer.framework)}, forward and backward in "
            f"process, {on}"
        )
        return Result(name, ours, theirs, ours / theirs, "elements/s", what)

    return run


def against_case(case: str, peer_case: str, what: str) -> Run:
    """Measures two cases of kernel_bench."""

    def run(name: str, programs: Programs, effort: Effort) -> Result:
        ours, peer = alternate(
            effort.rounds,
            lambda: programs.kernel_rate(case, effort.seconds / 2),
            lambda: programs.kernel_rate(peer_case, effort.seconds / 2),
        )
        return Result(name, ours, peer, ours / peer, "elements/s", what)

    return run


def against_baseline(name: str, programs: Programs, effort: Effort) -> Result:
    case = f"set_{programs.kernel_set()}"
    ours, peer = alternate(
        effort.rounds,
        lambda: programs.kernel_rate(case, effort.seconds / 2),
        lambda: programs.baseline_kernel_rate(case, effort.seconds / 2),
    )
    what = (
        "fused float32 loss and gradient of 65536 elements, one thread; peer: the kernel of the "
        "commit 7f199e9, built on this machine"
    )
    return Result(name, ours, peer, ours / peer, "elements/s", what)


_FORMULA_MEASUREMENTS = {
    "kernel_f32_1Mi_vs_torch_compile_formula": Measurement(
        Floors(avx2=3, avx512=4),
        against("f32_gradient", in_process.COMPILED_CROSS_ENTROPY, MEBI),
    ),
    "kernel_f32_1Mi_2core_vs_torch_compile_formula": Measurement(
        None, against("f32_gradient_halves", in_process.COMPILED_CROSS_ENTROPY, MEBI, threads=2)
    ),
    "kernel_f32_1Mi_vs_jax_formula": Measurement(
        None, against("f32_gradient", in_process.JAX_CROSS_ENTROPY, MEBI)
    ),
    "kernel_f32_1Mi_2core_vs_jax_formula": Measurement(
        None, against("f32_gradient_halves", in_process.JAX_CROSS_ENTROPY, MEBI, threads=2)
    ),
    "kernel_focal_vs_torch_compile_formula": Measurement(
        Floors(avx2=3, avx512=4),
        against("focal_f32_gradient", in_process.COMPILED_FOCAL, DETECTOR),
    ),
    "kernel_focal_2core_vs_torch_compile_formula": Measurement(
        None, against("focal_f32_gradient_halves", in_process.COMPILED_FOCAL, DETECTOR, threads=2)
    ),
    "kernel_focal_vs_jax_formula": Measurement(
        None, against("focal_f32_gradient", in_process.JAX_FOCAL, DETECTOR)
    ),
    "kernel_focal_2core_vs_jax_formula": Measurement(
        None, against("focal_f32_gradient_halves", in_process.JAX_FOCAL, DETECTOR, threads=2)
    ),
}

KERNEL_MEASUREMENTS: dict[str, Measurement] = {
    "kernel_f32_64Ki_vs_pytorch": Measurement(
        Floors(avx2=5, avx512=4.5), against("f32_gradient", in_process.CROSS_ENTROPY, 64 << 10)
    ),
    "kernel_f32_16Mi_vs_pytorch": Measurement(
        12.0, against("f32_gradient", in_process.CROSS_ENTROPY, 16 << 20)
    ),
    "kernel_f32_16Mi_2core_vs_pytorch": Measurement(
        None, against("f32_gradient_halves", in_process.CROSS_ENTROPY, 16 << 20, threads=2)
    ),
    **_FORMULA_MEASUREMENTS,
    "kernel_f32_64Ki_vs_baseline": Measurement(Floors(avx2=1.5, avx512=1.0), against_baseline),
    "kernel_f32_vs_highway_math": Measurement(
        Floors(avx2=1.6, avx512=1.4),
        against_case(
            "f32_gradient/65536",
            "highway_math/65536",
            "fused float32 loss and gradient of 65536 elements, one thread; peer: the same loop "
            "from the Exp and Log1p of the Highway library",
        ),
    ),
    "kernel_f32_16Mi_2core_vs_stream": Measurement(
        0.8,
        against_case(
            "f32_gradient_halves/16777216",
            "stream_halves/16777216",
            "fused float32 loss and gradient of 16777216 elements on two threads; peer: a loop of "
            "two loads, an add and a store over the same memory on two threads",
        ),
    ),
    "kernel_f32_128Mi_2core_vs_stream": Measurement(
        0.8,
        against_case(
            "f32_gradient_halves/134217728",
            "stream_halves/134217728",
            "fused float32 loss and gradient of 134217728 elements, more than any cache holds, on "
            "two threads; peer: a loop of two loads, an add and a store over the same memory on "
            "two threads",
        ),
    ),
    "kernel_focal_vs_pytorch": Measurement(
        Floors(avx2=8, avx512=12), against("focal_f32_gradient", in_process.FOCAL, DETECTOR)
    ),
    "kernel_focal_64Ki_vs_pytorch": Measurement(
        7.0, against("focal_f32_gradient", in_process.FOCAL, 64 << 10)
    ),
    "kernel_bf16_bit_vs_f32": Measurement(
        1.0,
        against_case(
            "bf16_bit_gradient/16777216",
            "f32_gradient/16777216",
            "16777216 bfloat16 logits and bit targets to a bfloat16 gradient, one thread; peer: "
            "the same in float32 throughout",
        ),
    ),
    "kernel_bf16_bit_64Ki_vs_f32": Measurement(
        0.8,
        against_case(
            "bf16_bit_gradient/65536",
            "f32_gradient/65536",
            "65536 bfloat16 logits and bit targets to a bfloat16 gradient, one thread, all in "
            "cache; peer: the same in float32 throughout, which needs no conversions",
        ),
    ),
    "kernel_float8_bit_vs_f32": Measurement(
        2.0,
        against_case(
            "float8_bit_gradient/16777216",
            "f32_gradient/16777216",
            "16777216 float8_e4m3fn logits and bit targets to a float8_e4m3fn gradient, one "
            "thread; peer: the same in float32 throughout",
        ),
    ),
    "second_derivative_vs_gradient_only": Measurement(
        0.8,
        against_case(
            "f32_second_derivative/65536",
            "f32_gradient/65536",
            "65536 float32 elements to a gradient and a second derivative, one thread, all in "
            "cache; peer: the same to a gradient alone",
        ),
    ),
    "rows_vs_none": Measurement(
        0.95,
        against_case(
            "f32_rows/1048576",
            "f32_none/1048576",
            "1048576 float32 elements to a gradient and a loss for each row of 1024, one thread; "
            "peer: the same to a loss for each element, which the client has yet to add up",
        ),
    ),
}
