// Changes inputs as requests, as records of the wire format, and as bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "tests/fuzz/input.h"
#include "tests/fuzz/records.h"
#include "tests/fuzz/requests.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* bytes, size_t size,
                                   size_t max_size);

namespace lossd::fuzz {
namespace {

// Returns the request with a few fields changed, or the message itself if it is
// no request.
std::string EditedRequest(std::string_view message, Random& random) {
  v1::ComputeLossRequest request;
  if (!request.ParseFromArray(message.data(),
                              static_cast<int>(message.size()))) {
    return std::string(message);
  }
  for (uint64_t edits = 1 + random() % 3; edits > 0; --edits) {
    Edit(request, random);
  }
  if (random() % 4 != 0) Fit(request, random);
  return request.SerializeAsString();
}

// Returns a head with random cuts, mostly few.
std::string NewHead(Random& random) {
  const size_t cuts = random() % 4 == 0 ? random() % 16 : random() % 4;
  std::string head(1 + 2 * cuts, static_cast<char>(cuts | (random() & 0x10)));
  for (size_t i = 1; i < head.size(); ++i) {
    head[i] = static_cast<char>(random() >> 8);
  }
  return head;
}

}  // namespace
}  // namespace lossd::fuzz

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* bytes, size_t size,
                                          size_t max_size, unsigned seed) {
  using lossd::fuzz::Input;
  lossd::fuzz::Random random(seed);
  const Input input({bytes, size});
  std::string head(input.head().begin(), input.head().end());
  std::string message;
  switch (random() % 8) {
    case 0:
    case 1:
    case 2:
      message = lossd::fuzz::EditedRequest(input.message(), random);
      break;
    case 3:
    case 4:
      message = lossd::fuzz::EditedRecords(input.message(), random);
      break;
    case 5:
      message = input.message();
      head = lossd::fuzz::NewHead(random);
      break;
    default:
      return LLVMFuzzerMutate(bytes, size, max_size);
  }
  if (head.empty()) head = lossd::fuzz::NewHead(random);
  const std::string whole = head + message;
  if (whole.size() > max_size) return LLVMFuzzerMutate(bytes, size, max_size);
  std::memcpy(bytes, whole.data(), whole.size());
  return whole.size();
}
