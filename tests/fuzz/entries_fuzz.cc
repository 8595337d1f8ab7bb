// A message of a ComputeLosses stream is cut into the entries that the
// generated parsers read, wherever the network has cut it.
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/unknown_field_set.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/wire/entry_reader.h"
#include "server/wire/request_parser.h"
#include "tests/fuzz/input.h"

namespace lossd::fuzz {
namespace {

using google::protobuf::Duration;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;
using Message = v1::ComputeLossesRequest;
using ProtoRequest = v1::ComputeLossRequest;

// A field of an entry that is a message, as bytes. If it comes several times,
// protobuf merges what it has read, which is to read the bytes one after the
// other if each are a message.
struct Parts {
  std::string bytes;
  int count = 0;
  bool each_is_message = true;

  bool readable() const { return count < 2 || each_is_message; }
};

struct Unread {
  uint64_t id = 0;
  Parts request;
  Parts timeout;
};

template <typename Proto>
bool Parse(std::string_view bytes, Proto* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// Reads the fields of any message. Returns
// null if protobuf refuses it.
std::unique_ptr<UnknownFieldSet> FieldsOf(std::string_view bytes) {
  google::protobuf::Empty message;  // whose parser knows no field
  if (!Parse(bytes, &message)) return nullptr;
  auto fields = std::make_unique<UnknownFieldSet>();
  fields->Swap(message.GetReflection()->MutableUnknownFields(&message));
  return fields;
}

void Add(const std::string& bytes, Parts* parts) {
  ++parts->count;
  parts->bytes += bytes;
  if (FieldsOf(bytes) == nullptr) parts->each_is_message = false;
}

std::optional<Unread> UnreadEntry(std::string_view bytes) {
  const std::unique_ptr<UnknownFieldSet> fields = FieldsOf(bytes);
  if (!fields) return std::nullopt;
  Unread entry;
  for (int i = 0; i < fields->field_count(); ++i) {
    const UnknownField& field = fields->field(i);
    const int number = field.number();
    if (field.type() == UnknownField::TYPE_VARINT &&
        number == Message::Entry::kIdFieldNumber) {
      entry.id = field.varint();
    } else if (field.type() == UnknownField::TYPE_LENGTH_DELIMITED &&
               number == Message::Entry::kRequestFieldNumber) {
      Add(field.length_delimited(), &entry.request);
    } else if (field.type() == UnknownField::TYPE_LENGTH_DELIMITED &&
               number == Message::Entry::kTimeoutFieldNumber) {
      Add(field.length_delimited(), &entry.timeout);
    }
  }
  if (!entry.request.readable() || !entry.timeout.readable()) {
    return std::nullopt;
  }
  return entry;
}

// Returns what ReadEntries() has to read, or nothing if it has to refuse.
std::optional<std::vector<Unread>> Expected(std::string_view bytes) {
  const std::unique_ptr<UnknownFieldSet> fields = FieldsOf(bytes);
  if (!fields) return std::nullopt;
  std::vector<Unread> entries;
  for (int i = 0; i < fields->field_count(); ++i) {
    const UnknownField& field = fields->field(i);
    if (field.number() != Message::kEntriesFieldNumber ||
        field.type() != UnknownField::TYPE_LENGTH_DELIMITED) {
      continue;
    }
    std::optional<Unread> entry = UnreadEntry(field.length_delimited());
    if (!entry) return std::nullopt;
    entries.push_back(*std::move(entry));
  }
  if (entries.size() > wire::kMaxEntries) return std::nullopt;
  return entries;
}

std::string Join(const std::vector<grpc::Slice>& slices) {
  std::string all;
  for (const grpc::Slice& slice : slices) {
    if (slice.size() == 0) Fail("an empty slice");
    all.append(slice.begin(), slice.end());
  }
  return all;
}

// Parses as if the parts were read by themselves: they may then be nested two
// levels deeper than within the message.
bool ParseDeeper(std::string_view bytes, Message* message) {
  google::protobuf::io::CodedInputStream in(
      reinterpret_cast<const uint8_t*>(bytes.data()),
      static_cast<int>(bytes.size()));
  in.SetRecursionLimit(in.GetDefaultRecursionLimit() + 2);
  return message->ParseFromCodedStream(&in) && in.ConsumedEntireMessage();
}

// Fails unless the entry has the id and the bytes of the reference.
void CheckBytes(const wire::Entry& entry, const Unread& unread) {
  if (entry.id != unread.id) {
    Fail(absl::StrCat("id ", entry.id, " is ", unread.id));
  }
  if (entry.has_timeout != (unread.timeout.count > 0) ||
      entry.timeout != unread.timeout.bytes) {
    Fail("another timeout");
  }
  if (Join(entry.request) != unread.request.bytes) Fail("another request");
}

// Fails unless the timeout is read as protobuf reads it. Returns whether it is
// a duration, in range or not.
bool CheckTimeout(const wire::Entry& entry) {
  Duration generated;
  const bool accepted = generated.ParseFromString(entry.timeout);
  const absl::StatusOr<absl::Duration> timeout = wire::TimeoutOf(entry);
  if (!timeout.ok() && !absl::IsInvalidArgument(timeout.status())) {
    Fail(timeout.status().ToString());
  }
  const bool in_range = accepted && generated.seconds() >= 0 &&
                        generated.seconds() <= 315'576'000'000 &&
                        generated.nanos() >= 0 &&
                        generated.nanos() < 1'000'000'000;
  if (timeout.ok() != in_range) Fail(timeout.status().ToString());
  if (!in_range) return accepted;
  const absl::Duration expected = entry.has_timeout
                                      ? absl::Seconds(generated.seconds()) +
                                            absl::Nanoseconds(generated.nanos())
                                      : absl::InfiniteDuration();
  if (*timeout != expected) Fail(absl::FormatDuration(*timeout));
  return true;
}

// Fails unless the request is read as protobuf reads it. Returns whether it is
// one.
bool CheckRequest(wire::Entry entry, wire::RequestParser& parser) {
  const std::string bytes = Join(entry.request);
  ProtoRequest generated;
  const bool accepted = generated.ParseFromString(bytes);
  const absl::Status status = parser.Parse(std::move(entry.request));
  if (status.ok() != accepted) {
    Fail(absl::StrCat("a request of ", bytes.size(),
                      " bytes: ", status.ToString()));
  }
  return accepted;
}

// Fails unless the generated parser of the whole message reads the parts that
// were read one by one.
void CheckWhole(const Message& whole, const std::vector<Unread>& parts) {
  if (static_cast<size_t>(whole.entries_size()) != parts.size()) {
    Fail("another number of entries");
  }
  for (int i = 0; i < whole.entries_size(); ++i) {
    const Message::Entry& entry = whole.entries(i);
    const Unread& part = parts[static_cast<size_t>(i)];
    ProtoRequest request;
    Duration timeout;
    if (!request.ParseFromString(part.request.bytes) ||
        !timeout.ParseFromString(part.timeout.bytes) || entry.id() != part.id ||
        request.SerializeAsString() != entry.request().SerializeAsString() ||
        timeout.SerializeAsString() != entry.timeout().SerializeAsString()) {
      Fail(absl::StrCat("merged otherwise: ", entry.DebugString()));
    }
  }
}

void Check(const Input& input, wire::RequestParser& parser) {
  const std::optional<std::vector<Unread>> expected = Expected(input.message());
  absl::StatusOr<std::vector<wire::Entry>> entries =
      wire::ReadEntries(input.Buffer());
  if (entries.ok() != expected.has_value() ||
      (expected && expected->size() != entries->size())) {
    Fail(absl::StrCat("the generated parser ", expected ? "accepts" : "rejects",
                      " it, ours says ", entries.status().ToString()));
  }
  if (!entries.ok() && !absl::IsInvalidArgument(entries.status())) {
    Fail(entries.status().ToString());
  }
  bool all = entries.ok();
  for (size_t i = 0; expected && i < expected->size(); ++i) {
    CheckBytes((*entries)[i], (*expected)[i]);
    all = CheckTimeout((*entries)[i]) && all;
    all = CheckRequest(std::move((*entries)[i]), parser) && all;
  }
  Message whole;
  if (Parse(input.message(), &whole)) {
    if (!all) Fail("refused in parts");
    CheckWhole(whole, *expected);
  } else if (all && !ParseDeeper(input.message(), &whole)) {
    Fail("refused whole");
  }
}

}  // namespace
}  // namespace lossd::fuzz

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  // Protobuf would log a line for every string that is not UTF-8.
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  // One parser reads all requests, as a stream keeps a few for its entries.
  static auto& parser = *new lossd::wire::RequestParser();
  lossd::fuzz::Check(lossd::fuzz::Input({bytes, size}), parser);
  return 0;
}
