#include "server/wire/field_writer.h"

#include <google/protobuf/duration.pb.h>

#include <algorithm>
#include <array>
#include <bit>

#include "server/wire/wire_format.h"

namespace lossd::wire {

void FieldWriter::Varint(uint32_t number, uint64_t value) {
  if (value == 0) return;
  AppendTag({number, kVarint}, out_);
  AppendVarint(value, out_);
}

void FieldWriter::Double(uint32_t number, double value) {
  const auto bits = std::bit_cast<uint64_t>(value);
  if (bits == 0) return;
  AppendTag({number, kFixed64}, out_);
  static_assert(std::endian::native == std::endian::little);
  const auto bytes = std::bit_cast<std::array<char, sizeof(bits)>>(bits);
  out_->append(bytes.data(), bytes.size());
}

void FieldWriter::Bytes(uint32_t number, absl::string_view value) {
  if (value.empty()) return;
  AppendTag({number, kLength}, out_);
  AppendVarint(value.size(), out_);
  out_->append(value.data(), value.size());
}

void FieldWriter::PackedVarints(uint32_t number,
                                std::span<const uint64_t> values) {
  if (values.empty()) return;
  Message(number, 0, [&] {
    for (const uint64_t value : values) AppendVarint(value, out_);
  });
}

void FieldWriter::Duration(uint32_t number, absl::Duration value) {
  using google::protobuf::Duration;
  value = std::max(value, absl::ZeroDuration());
  Message(number, 0, [&] {
    const int64_t seconds = absl::ToInt64Seconds(value);
    value -= absl::Seconds(seconds);
    Varint(Duration::kSecondsFieldNumber, static_cast<uint64_t>(seconds));
    Varint(Duration::kNanosFieldNumber,
           static_cast<uint64_t>(absl::ToInt64Nanoseconds(value)));
  });
}

size_t FieldWriter::OpenMessage(uint32_t number) {
  AppendTag({number, kLength}, out_);
  out_->push_back(0);
  return out_->size();
}

void FieldWriter::CloseMessage(size_t start, size_t more) {
  const size_t length = out_->size() - start + more;
  if (length < 0x80) {
    (*out_)[start - 1] = static_cast<char>(length);
    return;
  }
  std::string varint;  // at most ten bytes, so it allocates nothing
  AppendVarint(length, &varint);
  out_->replace(start - 1, 1, varint);
}

}  // namespace lossd::wire
