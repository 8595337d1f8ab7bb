// Numbers that decide speed alone, never bits. Each says what chose it: so far
// arithmetic and the compiler's own reports. No device has been at hand; what
// `./dev gpu` measures is to replace the reasoning where the two disagree.
//
// What a device has to do, by the example of an H200 (4.8 TB/s; 132
// multiprocessors, SM below, of 4 schedulers at about 1.8 GHz, each of which
// issues an instruction for 32 threads in a cycle; an answer from memory takes
// about 700 ns, 1,250 cycles, under load):
//
//   Bytes on the way (Little's law): 4.8 TB/s * 700 ns = 3.4 MB on the device,
//   25 KB on each SM. Of float32, 8 of 12 bytes are read: 17 KB of loads.
//
//   Elements: at 0.9 of a copy's 4.2 TB/s or so, 12 bytes each, 2.4 billion a
//   second on each SM, 1.3 in a cycle. 128 instructions a cycle leave 96 for
//   an element. The loop of Path::kFloat32 has 73.5 (294 for 4 lanes, counted
//   in the machine code for sm_90: 56 of them the element function's sums and
//   products), so arithmetic takes three quarters of what there is, and there
//   is little room for anything else in that loop.
//
//   bfloat16 and bits: 4.125 bytes each, at 0.8 of a copy 3.4 elements in a
//   cycle, which leave 37 instructions. Computed it has 75, and could reach
//   0.4 of a copy; looked up 15.8 (lookup-inl.h). The table's reads, of random
//   banks, take about 6 cycles for 32: 5 elements in a cycle.
#ifndef LOSSD_KERNELS_CUDA_TUNING_H_
#define LOSSD_KERNELS_CUDA_TUNING_H_

#include <cstdint>

namespace lossd::kernels::cuda {

// Warps of a thread block; each has a block of a segment, of half types two.
// They share nothing, so few: a thread block's place is free again sooner.
// Measured: not yet.
inline constexpr int kWarpsPerThreadBlock = 4;

// Thread blocks of a plain kernel on an SM, by the bytes of a logit; the
// compiler gives each thread its share of the SM's 65,536 registers.
// float32: 8, so 32 warps of 64 registers, which the loops fit without spilling
// (of bits on sm_120: 8 bytes). They ask for the next row, 1 KB, before they
// compute the one they have; but with so few registers the compiler moves that
// down to instruction 242 of 296 (sm_90: cuobjdump -sass). So a warp waits for
// an answer, about 1,250 cycles, while the other 7 of its scheduler compute, 7
// * 294 cycles: enough, as long as answers are not much later under load. What
// to compare with is 5: 80 registers, 24 warps, and loads that stay at the
// loop's start. Half types: a thread has 8 lanes, as much work as two of
// float32, and spills with 64 registers; 6 leave it 80, and loads are moved
// down likewise. float64: 4 leave 128. Measured: not yet.
template <int kLogitBytes>
inline constexpr int kPlainThreadBlocks = kLogitBytes == 2   ? 6
                                          : kLogitBytes == 4 ? 8
                                                             : 4;

// Of the general loop: 128 registers. It is bound by its branches, not by
// memory.
inline constexpr int kGeneralThreadBlocks = 4;

// Warps of the one thread block of an SM that looks up: they share the table of
// 64 KiB. 32 warps with 64 registers each have 544 bytes of loads a row on the
// way, 17 KB; 0.8 of a copy needs 13 KB. On sm_90 loads stay at the loop's
// start, and what spills, spills outside of it, but for one register of bytes.
// Measured: not yet; 24 warps with 80 registers are what to compare with.
inline constexpr int kLookupWarpsPerThreadBlock = 32;

// From how many blocks on a launch looks up. Filling the table takes 8,192 * 80
// instructions on each SM, 2.8 us, which the faster loop has gained back after
// some 2.5 million elements.
// Measured: not yet; where the two rates of `./dev gpu` cross.
inline constexpr uint64_t kLookupLeastBlocks = 2048;  // D34

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_TUNING_H_
