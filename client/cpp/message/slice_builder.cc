#include "client/cpp/message/slice_builder.h"

#include <google/protobuf/wire_format_lite.h>

#include "client/cpp/message/request_writer.h"

namespace lossd::client {

void SliceBuilder::OpenField(int number, size_t length) {
  using google::protobuf::internal::WireFormatLite;
  PutVarint(WireFormatLite::MakeTag(number,
                                    WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
  PutVarint(length);
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

void SliceBuilder::PutVarint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) {
    small_.push_back(static_cast<char>(value | 0x80));
  }
  small_.push_back(static_cast<char>(value));
}

void SliceBuilder::CloseSmall() {
  if (small_.empty()) return;
  slices_.emplace_back(small_);
  small_.clear();
}

size_t VarintSize(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

}  // namespace lossd::client
