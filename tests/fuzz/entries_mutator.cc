// Changes messages of a ComputeLosses stream as entries, as records, as bytes,
// and in the places where they are cut.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "tests/fuzz/entries.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/requests.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* bytes, size_t size,
                                   size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* bytes, size_t size,
                                          size_t max_size, unsigned seed) {
  lossd::fuzz::Random random(seed);
  const lossd::fuzz::Input input({bytes, size});
  std::string head(input.head().begin(), input.head().end());
  if (head.empty() || random() % 4 == 0) {
    return LLVMFuzzerMutate(bytes, size, max_size);
  }
  for (size_t i = 1; i < head.size(); ++i) {
    if (random() % 4 == 0) head[i] = static_cast<char>(random() >> 8);
  }
  const std::string whole =
      head + lossd::fuzz::EditedEntries(input.message(), random);
  if (whole.size() > max_size) return LLVMFuzzerMutate(bytes, size, max_size);
  std::memcpy(bytes, whole.data(), whole.size());
  return whole.size();
}
