// The block loops of the CPU backend, over an arithmetic policy (element.h).
//
// Like element.h a body without an include guard: each instruction set includes
// it in its own namespace, after element.h.

// Element `i` of an array at any address.
template <class T>
inline T UnalignedAt(const T* from, uint64_t i) {
  T value;
  std::memcpy(&value, from + i, sizeof(value));
  return value;
}

// One NaN for all backends: its sign and payload are the machine's otherwise.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V OneNan(typename Ops::V a) {  // D9
  const typename Ops::T nan = std::numeric_limits<typename Ops::T>::quiet_NaN();
  return Ops::Select(Ops::IsNan(a), Ops::Set(nan), a);
}

// Counts the NaN logits of valid elements.
template <class T, class IsIgnored>
void NoteNans(const T* logits, uint64_t n, uint64_t first, IsIgnored ignored,
              BlockPartial& partial) {
  for (uint64_t i = 0; i < n; ++i) {
    if (logits[i] == logits[i] || ignored(i)) continue;
    if (partial.nan_count++ == 0) partial.first_nan = first + i;
  }
}

// clang-format off
#include "kernels/cpu/general_block-inl.h"
#include "kernels/cpu/plain_block-inl.h"
// clang-format on

// `PlainOps` is the policy of the plain loop, over the same arithmetic.
template <class Ops, class PlainOps>
void BlocksOf(const Segment& segment, double gradient_scale,
              uint64_t first_block, std::span<BlockPartial> partials) {
  const auto scale = static_cast<typename Ops::T>(gradient_scale);
  if (ComputeIfPlain<PlainOps>(segment, scale, first_block, partials)) return;
  GeneralBlocksOf<Ops>(segment, scale, first_block, partials);
}
