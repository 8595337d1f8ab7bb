// Numbers that decide speed alone, never bits. Prototypes were measured on an
// H200, where they are named; the rest comes from arithmetic and the compiler's
// reports. `./dev gpu` prints the rates of the choice.
//
// The arithmetic is for an H200: 4.8 TB/s, 132 multiprocessors (SMs) with 4
// schedulers at about 1.8 GHz, each of which issues an instruction for 32
// threads in a cycle. A load under way takes about 700 ns, 1,250 cycles.
//
//   Bytes under way (Little's law): 4.8 TB/s * 700 ns = 3.4 MB on the device,
//   25 KB on each SM. float32 reads 8 of 12 bytes: 17 KB of loads.
//
//   float32: at 0.9 of a copy's 4.2 TB/s, 12 bytes an element, an SM computes
//   1.3 elements in a cycle. 128 instructions in a cycle leave 96 for an
//   element. The loop of kFloat32 has 73.5 (294 for 4 lanes, counted in the
//   machine code for sm_90; 56 of them are the element function's sums and
//   products), so arithmetic takes three quarters of the cycles.
//
//   bfloat16 and bits: at 0.8 of a copy, 4.125 bytes an element, an SM computes
//   3.4 elements in a cycle, which leave 37 instructions. Computed, an element
//   takes 75 and could reach 0.4 of a copy; looked up, it takes 15.8
//   (lookup-inl.h). Reads of the table hit random banks and take about 6 cycles
//   for 32 of them: 5 elements in a cycle.
#ifndef LOSSD_KERNELS_CUDA_TUNING_H_
#define LOSSD_KERNELS_CUDA_TUNING_H_

#include <cstdint>

namespace lossd::kernels::cuda {

// Warps of a thread block. Each computes a block of a segment, or two of half
// types. They share nothing, so there are few: a small thread block frees its
// place sooner.
inline constexpr int kWarpsPerThreadBlock = 4;

// Thread blocks of a fast kernel on an SM, by the bytes of a logit. They decide
// how many of the SM's 65,536 registers the compiler gives a thread.
//
// float32: 8 give 32 warps of 64 registers. The loops fit without spilling, but
// for 8 bytes of kFloat32Bits on sm_120. The source loads the next row, 1 KB,
// before it computes the current one; with so few registers the compiler moves
// the load down to instruction 242 of 296 (sm_90). A warp then waits about
// 1,250 cycles for it while the other 7 of its scheduler compute, 7 * 294
// cycles. Prototypes with 5 and 6, whose loads stay at the loop's start, were
// slower by 4 to 11 % from 16 Mi elements on. Without its arithmetic the loop
// reaches 0.93 to 0.96 of a copy.
//
// Half types: a thread has 8 lanes, twice the work, and spills with 64
// registers. 6 leave it 80, and loads are moved down too. float64: 4 leave 128.
template <int kLogitBytes>
inline constexpr int kFastThreadBlocks = kLogitBytes == 2   ? 6
                                         : kLogitBytes == 4 ? 8
                                                            : 4;

// The prefetching kernel (prefetch_kernels.cu): thread blocks on an SM, and
// rows of a warp in shared memory, all but one of them under way. 7 thread
// blocks have 114 KB there and 72 registers for a thread. Prototypes, as shares
// of a copy, with 7 (with 8) thread blocks, and the fast kernel:
//
//   elements          prefetching        fast
//   0.25 Mi           6.5 us (7.9)     9.7 us
//   1 Mi              6.7 us (8.2)    10.7 us
//   16 Mi            0.84 (0.82)         0.85
//   64 Mi            0.85 (0.87)         0.87
//   256 Mi           0.92 (0.92)         0.88
inline constexpr int kPrefetchThreadBlocks = 7;
inline constexpr uint32_t kPrefetchRows = 4;

// It is used for launches of at most so many blocks (8 Mi elements), and of at
// least so many (128 Mi).
inline constexpr uint64_t kPrefetchMostFewBlocks = uint64_t{1} << 12;    // D65
inline constexpr uint64_t kPrefetchLeastManyBlocks = uint64_t{1} << 16;  // D65

// Thread blocks of an exact kernel on an SM: each thread has 128 registers.
// These kernels are bound by their branches, not by memory.
inline constexpr int kExactThreadBlocks = 4;

// Warps of the lookup kernel's one thread block on an SM; they share the table
// of 64 KiB. 32 warps with 64 registers have 544 bytes of loads a row under
// way, 17 KB together; 0.8 of a copy needs 13 KB. On sm_90 loads stay at the
// loop's start, and only one register of kBFloat16Bytes spills inside the loop.
// A prototype of 24 warps with 80 registers was slower by 5 to 17 %.
inline constexpr int kLookupWarpsPerThreadBlock = 32;

// Launches of at least so many blocks look up. Filling the table takes 8,192 *
// 80 instructions on each SM, 2.8 us, which the faster loop has gained back
// after about 2.5 million elements. The two rates that `./dev gpu` prints
// should cross here.
inline constexpr uint64_t kLookupLeastBlocks = 2048;  // D34

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_TUNING_H_
