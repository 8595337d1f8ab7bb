#include "tests/fuzz/entries.h"

#include <google/protobuf/unknown_field_set.h>

#include <cstddef>
#include <cstdint>

#include "tests/fuzz/records.h"

namespace lossd::fuzz {
namespace {

using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;
using Message = v1::ComputeLossesRequest;

// The generated parsers allow a hundred groups within each other.
constexpr size_t kMostGroups = 100;

template <typename T, size_t kSize>
T OneOf(const T (&values)[kSize], Random& random) {
  return values[random() % kSize];
}

std::string BytesOf(const UnknownFieldSet& fields) {
  std::string bytes;
  fields.SerializeToString(&bytes);
  return bytes;
}

// Returns a message of one entry.
std::string Record(const std::string& entry) {
  UnknownFieldSet fields;
  fields.AddLengthDelimited(Message::kEntriesFieldNumber, entry);
  return BytesOf(fields);
}

// Returns groups of field 15 within each other.
std::string Groups(size_t count) {
  return std::string(count, '\x7b') + std::string(count, '\x7c');
}

// Returns entries whose bytes no writer writes.
std::vector<std::string> OddEntries() {
  using std::string_literals::operator""s;
  return {
      ""s,                                          // nothing at all
      "\x08\x01\x08\x02"s,                          // two ids
      "\x08\x81\x00"s,                              // an overlong id
      "\x88\x00\x01"s,                              // an overlong tag
      "\x08\x01\x12\x02\x08\x01\x12\x02\x42\x00"s,  // two requests
      "\x08\x01\x12\x80\x00"s,                      // an overlong length
      "\x1a\x02\x08\x05\x1a\x02\x10\x07"s,          // two timeouts
      "\x1a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s,  // negative
      "\x1a\x01\x08"s,                   // garbage for a timeout
      "\x12\x01\x08"s,                   // garbage for a request
      "\x0a\x01x\x15\x31\x32\x33\x34"s,  // other wire types
      "\x0b\x08\x01\x0c\x13\x14"s,       // groups of known numbers
      "\xfb\x07\x0a\x01x\xfc\x07"s,      // a group nobody knows
      "\x12\x7f"s,                       // cut short
      "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s,  // the largest id
      "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"s,  // a larger one
      "\x02\x00"s,                                      // field 0
      "\x0c"s,  // only the end of a group
  };
}

void EditTimeout(Message::Entry& entry, Random& random) {
  constexpr int64_t kSeconds[] = {
      0, 1, -1, 3600, 315'576'000'000, 315'576'000'001, INT64_MAX, INT64_MIN};
  constexpr int32_t kNanos[] = {
      0, 1, -1, 999'999'999, 5, 1'000'000'000, INT32_MAX, INT32_MIN};
  entry.mutable_timeout()->set_seconds(OneOf(kSeconds, random));
  entry.mutable_timeout()->set_nanos(OneOf(kNanos, random));
}

std::string EditedEntry(const std::string& bytes, Random& random) {
  Message::Entry entry;
  if (random() % 3 == 0 || !entry.ParseFromString(bytes)) {
    return EditedRecords(bytes, random);
  }
  constexpr uint64_t kIds[] = {0, 1, 2, 127, 128, UINT64_MAX};
  switch (random() % 5) {
    case 0:
      entry.set_id(OneOf(kIds, random));
      break;
    case 1:
      EditTimeout(entry, random);
      break;
    case 2:
      entry.clear_request();
      break;
    default:
      Edit(*entry.mutable_request(), random);
      Fit(*entry.mutable_request(), random);
  }
  return entry.SerializeAsString();
}

void EditField(UnknownFieldSet& fields, Random& random) {
  const int at =
      static_cast<int>(random() % static_cast<unsigned>(fields.field_count()));
  UnknownField* const field = fields.mutable_field(at);
  const bool has_bytes = field->type() == UnknownField::TYPE_LENGTH_DELIMITED;
  if (has_bytes && random() % 3 != 0) {
    field->set_length_delimited(EditedEntry(field->length_delimited(), random));
    return;
  }
  const int number = static_cast<int>(1 + random() % 4);
  switch (random() % 5) {
    case 0:
      fields.AddField(UnknownField(*field));
      break;
    case 1:
      fields.DeleteSubrange(at, 1);
      break;
    case 2:
      fields.AddVarint(number, random());
      break;
    case 3:
      fields.AddGroup(number)->AddLengthDelimited(number, "\x08\x01");
      break;
    default:  // protobuf merges what comes twice within an entry
      if (!has_bytes) break;
      *field->mutable_length_delimited() +=
          EditedEntry(field->length_delimited(), random);
  }
}

}  // namespace

std::vector<std::string> EveryEntries() {
  std::vector<std::string> messages;
  Message all;
  for (const v1::ComputeLossRequest& request : EveryKind()) {
    if (all.entries_size() == 3) all.Clear();
    Message::Entry& entry = *all.add_entries();
    entry.set_id(messages.size());
    *entry.mutable_request() = request;
    if (messages.size() % 4 == 0) entry.mutable_timeout()->set_nanos(1);
    messages.push_back(all.SerializeAsString());
  }
  const std::string plain = Record("\x08\x05");
  for (const std::string& odd : OddEntries()) {
    messages.push_back(Record(odd));
    messages.push_back(plain + Record(odd) + plain);
  }
  for (const std::string& odd : OddMessages()) messages.push_back(plain + odd);
  for (size_t groups = kMostGroups - 2; groups < kMostGroups + 3; ++groups) {
    messages.push_back(plain + Groups(groups));
    messages.push_back(Record(Groups(groups)));
  }
  return messages;
}

std::string EditedEntries(std::string_view message, Random& random) {
  UnknownFieldSet fields;
  if (random() % 5 == 0 ||
      !fields.ParseFromArray(message.data(),
                             static_cast<int>(message.size()))) {
    return EditedRecords(message, random);
  }
  if (fields.empty()) fields.AddLengthDelimited(1, "\x08\x01");
  for (uint64_t edits = 1 + random() % 3; edits > 0 && !fields.empty();
       --edits) {
    EditField(fields, random);
  }
  return BytesOf(fields);
}

}  // namespace lossd::fuzz
