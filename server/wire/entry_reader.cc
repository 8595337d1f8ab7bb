#include "server/wire/entry_reader.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/io/coded_stream.h>

#include <limits>
#include <span>

#include "absl/strings/str_cat.h"
#include "lossd/v1/loss_service.pb.h"
#include "server/wire/wire_format.h"
#include "server/wire/wire_reader.h"

namespace lossd::wire {
namespace {

using google::protobuf::io::CodedInputStream;
using ProtoEntry = v1::ComputeLossesRequest::Entry;

constexpr uint32_t kEntries = v1::ComputeLossesRequest::kEntriesFieldNumber;
// The wire types of groups.
constexpr uint32_t kStartGroup = 3;
constexpr uint32_t kEndGroup = 4;
constexpr int kMaxGroupDepth = 100;  // that of the generated parsers

// Reads the fields of an entry that ends where `end` bytes are left. Fields of
// one message that come several times are merged, which is to read their bytes
// one after the other.
bool WalkEntry(WireReader& reader, uint64_t end, Entry* entry) {
  std::string unknown;
  while (reader.left() > end) {
    const Tag tag = reader.ReadTag();
    if (tag.number == ProtoEntry::kIdFieldNumber && tag.type == kVarint) {
      if (!reader.ReadVarint(&entry->id)) return false;
    } else if (tag.number == ProtoEntry::kRequestFieldNumber &&
               tag.type == kLength) {
      const int64_t length = reader.ReadLength(end);
      if (length < 0) return false;
      reader.Share(static_cast<uint64_t>(length), &entry->request);
    } else if (tag.number == ProtoEntry::kTimeoutFieldNumber &&
               tag.type == kLength) {
      const int64_t length = reader.ReadLength(end);
      if (length < 0) return false;
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

// Reads past a field that nobody knows, or returns false.
bool Skip(CodedInputStream& in, uint32_t tag, int depth) {
  const uint32_t number = tag >> 3;
  uint64_t varint;
  int length;
  if (number == 0 || depth > kMaxGroupDepth) return false;
  switch (tag & 7) {
    case kVarint:
      return in.ReadVarint64(&varint);
    case kFixed64:
      return in.Skip(8);
    case kFixed32:
      return in.Skip(4);
    case kLength:
      return in.ReadVarintSizeAsInt(&length) && in.Skip(length);
    case kStartGroup:  // its end has the same number
      while (const uint32_t inner = in.ReadTag()) {
        if ((inner & 7) == kEndGroup) return inner >> 3 == number;
        if (!Skip(in, inner, depth + 1)) return false;
      }
      return false;
    default:
      return false;
  }
}

// Reads a field of bytes, or returns false.
bool ReadBytes(CodedInputStream& in, std::string* bytes) {
  int length;
  return in.ReadVarintSizeAsInt(&length) && in.ReadString(bytes, length);
}

void AppendBytes(Tag tag, const std::string& bytes, std::string* out) {
  AppendTag(tag, out);
  AppendVarint(bytes.size(), out);
  *out += bytes;
}

CodedInputStream StreamOver(const std::string& bytes) {
  return CodedInputStream(reinterpret_cast<const uint8_t*>(bytes.data()),
                          static_cast<int>(bytes.size()));
}

// The next two write an entry and a message in the form that the walk reads.
// They return false if the bytes are none. The library reads what the walk does
// not: varints that are longer than they must be, and groups.
bool RewriteEntry(const std::string& entry, std::string* out) {
  CodedInputStream in = StreamOver(entry);
  std::string bytes;
  while (const uint32_t read = in.ReadTag()) {
    const Tag tag = {read >> 3, read & 7};
    const bool has_bytes = tag.number == ProtoEntry::kRequestFieldNumber ||
                           tag.number == ProtoEntry::kTimeoutFieldNumber;
    if (tag.number == ProtoEntry::kIdFieldNumber && tag.type == kVarint) {
      uint64_t id;
      if (!in.ReadVarint64(&id)) return false;
      AppendTag(tag, out);
      AppendVarint(id, out);
    } else if (has_bytes && tag.type == kLength) {
      if (!ReadBytes(in, &bytes)) return false;
      AppendBytes(tag, bytes, out);
    } else if (!Skip(in, read, 0)) {
      return false;
    }
  }
  return in.ConsumedEntireMessage();
}

bool Rewrite(const std::string& message, std::string* out) {
  CodedInputStream in = StreamOver(message);
  std::string bytes;
  std::string entry;
  while (const uint32_t read = in.ReadTag()) {
    const Tag tag = {read >> 3, read & 7};
    if (tag.number != kEntries || tag.type != kLength) {
      if (!Skip(in, read, 0)) return false;
      continue;
    }
    entry.clear();
    if (!ReadBytes(in, &bytes) || !RewriteEntry(bytes, &entry)) return false;
    AppendBytes(tag, entry, out);
  }
  return in.ConsumedEntireMessage();
}

bool WalkRewritten(std::span<const grpc::Slice> slices,
                   std::vector<Entry>* entries) {
  WireReader reader(slices);
  if (reader.left() > std::numeric_limits<int32_t>::max()) return false;
  std::string flat;
  std::string rewritten;
  reader.Copy(reader.left(), &flat);
  entries->clear();
  if (!Rewrite(flat, &rewritten)) return false;
  const grpc::Slice slice(rewritten);
  return Walk(std::span(&slice, 1), entries);
}

}  // namespace

absl::StatusOr<std::vector<Entry>> ReadEntries(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  if (buffer.Valid() && !buffer.Dump(&slices).ok()) {
    return absl::InvalidArgumentError(
        "request: the message cannot be decompressed");
  }
  std::vector<Entry> entries;
  if (!Walk(slices, &entries) && !WalkRewritten(slices, &entries)) {
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
