#include "tests/fuzz/sequence.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/requests.h"

namespace lossd::fuzz {
namespace {

// Returns a stream that asks for the loss that the request asks for. Data is in
// chunks where a stream may have it there, everything else in the header.
std::vector<v1::StreamLossRequest> StreamOf(
    const v1::ComputeLossRequest& request) {
  v1::StreamLossRequest first;
  v1::StreamLossHeader& header = *first.mutable_header();
  *header.mutable_spec() = request.spec();
  *header.mutable_shape() = request.logits().shape();
  header.set_logits_dtype(request.logits().dtype());
  header.set_request_id(request.request_id());
  v1::StreamLossRequest rest;
  v1::StreamLossChunk& chunk = *rest.mutable_chunk();
  chunk.set_logits(request.logits().data());
  if (request.targets().has_data()) {
    header.set_targets_dtype(request.targets().dtype());
    *header.mutable_targets_shape() = request.targets().shape();
    chunk.set_targets(request.targets().data());
  } else {
    *header.mutable_targets() = request.targets();
  }
  const auto same_shape = [&](const v1::Tensor& tensor) {
    return tensor.has_data() &&
           std::equal(tensor.shape().begin(), tensor.shape().end(),
                      request.logits().shape().begin(),
                      request.logits().shape().end());
  };
  if (same_shape(request.weights())) {
    header.set_weights_dtype(request.weights().dtype());
    chunk.set_weights(request.weights().data());
  } else if (request.has_weights()) {
    *header.mutable_weights() = request.weights();
  }
  if (request.has_pos_weight()) {
    *header.mutable_pos_weight() = request.pos_weight();
  }
  if (request.has_upstream_gradient()) {
    *header.mutable_upstream_gradient() = request.upstream_gradient();
  }
  return {first, rest};
}

// Returns the chunk in two parts. Each tensor is cut at another place, also
// inside elements.
std::vector<v1::StreamLossRequest> Halved(const v1::StreamLossRequest& whole) {
  std::vector<v1::StreamLossRequest> halves(2);
  const auto cut = [&](const std::string& bytes, size_t percent,
                       void (*set)(v1::StreamLossChunk*, std::string)) {
    const size_t at = bytes.size() * percent / 100;
    set(halves[0].mutable_chunk(), bytes.substr(0, at));
    set(halves[1].mutable_chunk(), bytes.substr(at));
  };
  cut(whole.chunk().logits(), 51,
      [](auto* chunk, std::string bytes) { chunk->set_logits(bytes); });
  cut(whole.chunk().targets(), 33,
      [](auto* chunk, std::string bytes) { chunk->set_targets(bytes); });
  cut(whole.chunk().weights(), 70,
      [](auto* chunk, std::string bytes) { chunk->set_weights(bytes); });
  return halves;
}

}  // namespace

std::vector<std::string_view> Split(std::string_view sequence) {
  std::vector<std::string_view> messages;
  while (sequence.size() >= 2) {
    const size_t size = static_cast<uint8_t>(sequence[0]) |
                        size_t{static_cast<uint8_t>(sequence[1])} << 8;
    messages.push_back(sequence.substr(2, size));
    sequence.remove_prefix(2 + messages.back().size());
  }
  return messages;
}

std::string Join(const std::vector<std::string>& messages) {
  std::string sequence;
  for (const std::string& message : messages) {
    const size_t size = std::min<size_t>(message.size(), 0xffff);
    sequence += static_cast<char>(size & 0xff);
    sequence += static_cast<char>(size >> 8);
    sequence.append(message, 0, size);
  }
  return sequence;
}

std::vector<std::string> EverySequence() {
  using std::string_literals::operator""s;
  std::vector<std::string> sequences;
  std::string header;
  for (const v1::ComputeLossRequest& request : EveryKind()) {
    if (!request.logits().has_data()) continue;
    const std::vector<v1::StreamLossRequest> stream = StreamOf(request);
    header = stream[0].SerializeAsString();
    std::vector<std::string> messages = {header};
    for (const v1::StreamLossRequest& half : Halved(stream[1])) {
      messages.push_back(half.SerializeAsString());
    }
    sequences.push_back(Join(messages));
  }
  const std::string both = header + "\x12\x03\x0a\x01x"s;
  for (const std::string& odd :
       {""s,
        "\x12\x00"s,                     // an empty chunk
        both,                            // a header, then a chunk
        "\x12\x03\x0a\x01x"s + header,   // the other way round
        "\x12\x84\x00\x0a\x81\x00x"s,    // overlong lengths
        "\x12\x05\x0a\x01x\x0a\x00"s,    // the last of two counts
        "\x12\x04\x32\x02xy"s,           // an unknown tensor
        "\x13\x0a\x01x\x14"s,            // a group
        "\x12\x7f\x0a\x7dx"s,            // cut short
        "\xfb\x07\x0a\x01x\xfc\x07"s,    // an unknown group
        "\x12\xff\xff\xff\xff\x0f"s}) {  // far too long
    sequences.push_back(Join({odd}));
    sequences.push_back(Join({header, odd, header}));
  }
  return sequences;
}

}  // namespace lossd::fuzz
