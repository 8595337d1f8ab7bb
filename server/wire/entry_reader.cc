#include "server/wire/entry_reader.h"

#include <google/protobuf/duration.pb.h>

#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "lossd/v1/loss_service.pb.h"
#include "server/wire/field_reader.h"
#include "server/wire/wire_format.h"
#include "server/wire/wire_reader.h"

namespace lossd::wire {
namespace {

using ProtoEntry = v1::ComputeLossesRequest::Entry;

constexpr uint32_t kEntries = v1::ComputeLossesRequest::kEntriesFieldNumber;

bool IsBytes(const Field& field, int number) {
  return field.tag.type == kLength &&
         field.tag.number == static_cast<uint32_t>(number);
}

// Reads the fields of an entry that ends where `end` bytes are left. Returns
// false if it has another form than every writer's, which has a message once.
bool WalkEntry(WireReader& reader, uint64_t end, Entry* entry) {
  std::string unknown;
  bool has_request = false;
  while (reader.left() > end) {
    const Tag tag = reader.ReadTag();
    if (tag.number == ProtoEntry::kIdFieldNumber && tag.type == kVarint) {
      if (!reader.ReadVarint(&entry->id)) return false;
    } else if (tag.number == ProtoEntry::kRequestFieldNumber &&
               tag.type == kLength) {
      const int64_t length = reader.ReadLength(end);
      if (length < 0 || std::exchange(has_request, true)) return false;
      reader.Share(static_cast<uint64_t>(length), &entry->request);
    } else if (tag.number == ProtoEntry::kTimeoutFieldNumber &&
               tag.type == kLength) {
      const int64_t length = reader.ReadLength(end);
      if (length < 0 || entry->has_timeout) return false;
      reader.Copy(static_cast<uint64_t>(length), &entry->timeout);
      entry->has_timeout = true;
    } else {
      unknown.clear();
      if (tag.number == 0 || !reader.CopyField(tag, end, &unknown)) {
        return false;
      }
    }
  }
  return reader.left() == end;
}

// Reads a message in the form that every writer writes. Returns false if it has
// another one.
bool Walk(std::span<const grpc::Slice> slices, std::vector<Entry>* entries) {
  WireReader reader(slices);
  if (reader.left() > std::numeric_limits<int32_t>::max()) return false;
  std::string unknown;
  while (reader.left() > 0 && entries->size() <= kMaxEntries) {
    const Tag tag = reader.ReadTag();
    if (tag.number != kEntries || tag.type != kLength) {
      unknown.clear();
      if (tag.number == 0 || !reader.CopyField(tag, 0, &unknown)) return false;
      continue;
    }
    const int64_t length = reader.ReadLength(0);
    if (length < 0) return false;
    if (!WalkEntry(reader, reader.left() - static_cast<uint64_t>(length),
                   &entries->emplace_back())) {
      return false;
    }
  }
  return true;
}

// A message that may come in parts, which protobuf merges.
struct Parts {
  // Appends a part. Returns false if there are several and one is no message by
  // itself: the others could make up for what it lacks.
  bool Append(absl::string_view part) {
    if (count == 1 && !IsMessage(merged)) return false;
    if (count > 0 && !IsMessage(part)) return false;
    absl::StrAppend(&merged, part);
    ++count;
    return true;
  }

  std::string merged;
  size_t count = 0;
};

// Takes the fields of an entry whose form the walk does not expect, or returns
// false if the bytes are none.
bool ParseEntry(absl::string_view bytes, Entry* entry) {
  Parts request;
  Parts timeout;
  FieldReader reader(bytes);
  while (const std::optional<Field> field = reader.Next()) {
    if (field->tag.number == ProtoEntry::kIdFieldNumber &&
        field->tag.type == kVarint) {
      entry->id = field->varint;
    } else if (IsBytes(*field, ProtoEntry::kRequestFieldNumber)) {
      if (!request.Append(field->bytes)) return false;
    } else if (IsBytes(*field, ProtoEntry::kTimeoutFieldNumber)) {
      if (!timeout.Append(field->bytes)) return false;
    }
  }
  if (!reader.ok()) return false;
  if (!request.merged.empty()) entry->request.emplace_back(request.merged);
  entry->has_timeout = timeout.count > 0;
  absl::StrAppend(&entry->timeout, timeout.merged);
  return true;
}

// Takes the entries of a message in a form that the walk does not expect. The
// bytes are copied into one string, and nothing but entries is kept of them.
bool Parse(std::span<const grpc::Slice> slices, std::vector<Entry>* entries) {
  entries->clear();
  WireReader bytes(slices);
  if (bytes.left() > std::numeric_limits<int32_t>::max()) return false;
  std::string flat;
  bytes.Copy(bytes.left(), &flat);
  FieldReader reader(flat);
  while (const std::optional<Field> field = reader.Next()) {
    if (!IsBytes(*field, kEntries)) continue;
    if (!ParseEntry(field->bytes, &entries->emplace_back())) return false;
    if (entries->size() > kMaxEntries) return true;
  }
  return reader.ok();
}

}  // namespace

absl::StatusOr<std::vector<Entry>> ReadEntries(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  if (buffer.Valid() && !buffer.Dump(&slices).ok()) {
    return absl::InvalidArgumentError(
        "request: the message cannot be decompressed");
  }
  std::vector<Entry> entries;
  if (!Walk(slices, &entries) && !Parse(slices, &entries)) {
    return absl::InvalidArgumentError(
        "request: not a lossd.v1.ComputeLossesRequest (truncated or garbage "
        "protobuf)");
  }
  if (entries.size() > kMaxEntries) {
    return absl::InvalidArgumentError(
        absl::StrCat("entries: a message has at most ", kMaxEntries));
  }
  return entries;
}

// The bounds are those of duration.proto.
absl::StatusOr<absl::Duration> TimeoutOf(const Entry& entry) {
  if (!entry.has_timeout) return absl::InfiniteDuration();
  google::protobuf::Duration timeout;
  if (!timeout.ParseFromString(entry.timeout)) {
    return absl::InvalidArgumentError(
        "timeout: not a google.protobuf.Duration (garbage protobuf)");
  }
  if (timeout.seconds() < 0 || timeout.seconds() > 315'576'000'000 ||
      timeout.nanos() < 0 || timeout.nanos() > 999'999'999) {
    return absl::InvalidArgumentError(
        absl::StrCat("timeout: ", timeout.seconds(), " s and ", timeout.nanos(),
                     " ns is negative or out of a Duration's range"));
  }
  return absl::Seconds(timeout.seconds()) + absl::Nanoseconds(timeout.nanos());
}

}  // namespace lossd::wire
