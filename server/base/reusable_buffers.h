// How much memory a call keeps for the next request that it serves.
#ifndef LOSSD_SERVER_BASE_REUSABLE_BUFFERS_H_
#define LOSSD_SERVER_BASE_REUSABLE_BUFFERS_H_

#include <cstddef>

namespace lossd {

// Per container. What a usual request fills, tensors in `data`, is far smaller;
// hundreds of calls are kept, and one odd request each must not cost the server
// the memory of all of them for good.
inline constexpr size_t kMaxKeptBytes = size_t{16} << 10;  // D19

template <typename Container>
size_t CapacityInBytes(const Container& container) {
  return container.capacity() * sizeof(*container.data());
}

// Empties a container that will be filled again. Its memory is kept if it is
// small.
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
