// Containers that are filled again and again without allocating each time.
#ifndef LOSSD_SERVER_BASE_REUSABLE_BUFFERS_H_
#define LOSSD_SERVER_BASE_REUSABLE_BUFFERS_H_

#include <cstddef>

namespace lossd {

// A cleared container keeps at most this much memory. A usual request needs far
// less. Hundreds of calls are kept for reuse, and an unusually large request in
// each of them must not cost the server that memory for good.
inline constexpr size_t kMaxKeptBytes = size_t{16} << 10;  // D19

template <typename Container>
size_t CapacityInBytes(const Container& container) {
  return container.capacity() * sizeof(*container.data());
}

// Empties a container that will be filled again. Keeps its memory if that is at
// most kMaxKeptBytes.
template <typename Container>
void ClearForReuse(Container& container) {
  if (CapacityInBytes(container) > kMaxKeptBytes) {
    Container().swap(container);
  } else {
    container.clear();
  }
}

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_REUSABLE_BUFFERS_H_
