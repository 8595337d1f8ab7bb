// Changes streams as messages, as headers and chunks, as records, and as bytes.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "tests/fuzz/input.h"
#include "tests/fuzz/records.h"
#include "tests/fuzz/requests.h"
#include "tests/fuzz/sequence.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* bytes, size_t size,
                                   size_t max_size);

namespace lossd::fuzz {
namespace {

// Changes the fields that a header shares with a request.
void EditHeader(v1::StreamLossHeader& header, Random& random) {
  v1::ComputeLossRequest request;
  *request.mutable_spec() = header.spec();
  *request.mutable_logits()->mutable_shape() = header.shape();
  request.mutable_logits()->set_dtype(header.logits_dtype());
  *request.mutable_targets() = header.targets();
  *request.mutable_weights() = header.weights();
  for (uint64_t edits = 1 + random() % 3; edits > 0; --edits) {
    Edit(request, random);
  }
  *header.mutable_spec() = request.spec();
  *header.mutable_shape() = request.logits().shape();
  header.set_logits_dtype(request.logits().dtype());
  const auto keep = [&](v1::Tensor* to, v1::Tensor& from) {
    if (to != nullptr) *to = from;
  };
  keep(header.has_targets() ? header.mutable_targets() : nullptr,
       *request.mutable_targets());
  keep(header.has_weights() ? header.mutable_weights() : nullptr,
       *request.mutable_weights());
  if (random() % 4 == 0) {
    header.set_weights_dtype(static_cast<v1::DataType>(random() % 11));
  }
  if (random() % 4 == 0) {
    header.set_targets_dtype(static_cast<v1::DataType>(random() % 11));
  }
  if (random() % 8 == 0) header.set_declared_normalizer(random() % 3);
}

void EditChunk(v1::StreamLossChunk& chunk, Random& random) {
  const std::string bytes(random() % 300, static_cast<char>(random() % 64));
  switch (random() % 4) {
    case 0:
      chunk.set_logits(bytes);
      break;
    case 1:
      chunk.set_targets(bytes);
      break;
    case 2:
      chunk.set_weights(bytes);
      break;
    default:
      chunk.mutable_logits()->resize(random() % 5000, '\x3f');
      chunk.mutable_targets()->resize(random() % 5000);
  }
}

std::string Edited(const std::string& bytes, Random& random) {
  v1::StreamLossRequest message;
  if (random() % 3 == 0 || !message.ParseFromString(bytes)) {
    return EditedRecords(bytes, random);
  }
  if (message.has_header()) EditHeader(*message.mutable_header(), random);
  if (message.has_chunk()) EditChunk(*message.mutable_chunk(), random);
  return message.SerializeAsString();
}

void EditSequence(std::vector<std::string>& messages, Random& random) {
  const size_t at = random() % messages.size();
  const size_t other = random() % messages.size();
  switch (random() % 6) {
    case 0:
      messages.push_back(messages[at]);
      break;
    case 1:
      messages.erase(messages.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 2:
      std::swap(messages[at], messages[other]);
      break;
    case 3:
      messages[at] += messages[other];  // protobuf merges them
      break;
    default:
      messages[at] = Edited(messages[at], random);
  }
}

}  // namespace
}  // namespace lossd::fuzz

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* bytes, size_t size,
                                          size_t max_size, unsigned seed) {
  lossd::fuzz::Random random(seed);
  const lossd::fuzz::Input input({bytes, size});
  std::vector<std::string> messages;
  for (const std::string_view message : lossd::fuzz::Split(input.message())) {
    messages.emplace_back(message);
  }
  if (messages.empty() || random() % 3 == 0) {
    return LLVMFuzzerMutate(bytes, size, max_size);
  }
  lossd::fuzz::EditSequence(messages, random);
  const std::string whole =
      std::string(input.head().begin(), input.head().end()) +
      lossd::fuzz::Join(messages);
  if (whole.size() > max_size) return LLVMFuzzerMutate(bytes, size, max_size);
  std::memcpy(bytes, whole.data(), whole.size());
  return whole.size();
}
