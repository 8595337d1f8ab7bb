#include "client/cpp/message/slice_builder.h"

#include <google/protobuf/wire_format_lite.h>

#include <utility>

#include "client/cpp/message/request_writer.h"

namespace lossd::client {

size_t MessagePieces::bytes() const {
  size_t sum = tail.size();
  for (const grpc::Slice& slice : slices) sum += slice.size();
  return sum;
}

void SliceBuilder::OpenField(int number, size_t length) {
  using google::protobuf::internal::WireFormatLite;
  PutVarint(WireFormatLite::MakeTag(number,
                                    WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
  PutVarint(length);
}

void SliceBuilder::PutVarintField(int number, uint64_t value) {
  using google::protobuf::internal::WireFormatLite;
  PutVarint(WireFormatLite::MakeTag(number, WireFormatLite::WIRETYPE_VARINT));
  PutVarint(value);
}

void SliceBuilder::PutPayload(std::span<const std::byte> bytes) {
  if (bytes.size() > kLargestCopiedPayload) {
    CloseSmall();
    slices_.push_back(tracker_.MakeSlice(bytes));
  } else if (!bytes.empty()) {
    small_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
}

grpc::ByteBuffer SliceBuilder::Finish() {
  CloseSmall();
  return grpc::ByteBuffer(slices_.data(), slices_.size());
}

MessagePieces SliceBuilder::Take() {
  return {std::exchange(slices_, {}), std::exchange(small_, {})};
}

void SliceBuilder::PutVarint(uint64_t value) { AppendVarint(value, &small_); }

void SliceBuilder::CloseSmall() {
  if (small_.empty()) return;
  slices_.emplace_back(small_);
  small_.clear();
}

void AppendVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) {
    out->push_back(static_cast<char>(value | 0x80));
  }
  out->push_back(static_cast<char>(value));
}

size_t VarintSize(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

}  // namespace lossd::client
