#include "tests/fuzz/records.h"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace lossd::fuzz {
namespace {

// A record of the wire format. `head` is its tag and, if it is
// length-delimited, its length.
struct Record {
  uint64_t tag = 0;
  std::string body;
};

constexpr uint64_t kLength = 2;

// Reads a varint. 0 bytes were read if there is none.
size_t ReadVarint(std::string_view from, uint64_t* value) {
  *value = 0;
  for (size_t i = 0; i < from.size() && i < 10; ++i) {
    const auto byte = static_cast<uint8_t>(from[i]);
    *value |= uint64_t{byte & 0x7fU} << (7 * i);
    if (byte < 0x80) return i + 1;
  }
  return 0;
}

// Appends a varint that is `padding` bytes longer than it must be.
std::string Varint(uint64_t value, size_t padding = 0) {
  std::string bytes;
  while (value >= 0x80) {
    bytes += static_cast<char>((value & 0x7f) | 0x80);
    value >>= 7;
  }
  bytes += static_cast<char>(value);
  for (; padding > 0; --padding) {
    bytes.back() = static_cast<char>(bytes.back() | 0x80);
    bytes += '\0';
  }
  return bytes;
}

// Takes a record off `rest`. Returns false, and takes nothing, if there is
// none.
bool Take(std::string_view* rest, Record* record) {
  std::string_view at = *rest;
  const size_t tag = ReadVarint(at, &record->tag);
  if (tag == 0) return false;
  at.remove_prefix(tag);
  uint64_t size = 0;
  switch (record->tag & 7) {
    case 0: {
      uint64_t value;
      size = ReadVarint(at, &value);
      if (size == 0) return false;
      break;
    }
    case 1:
      size = 8;
      break;
    case 5:
      size = 4;
      break;
    case kLength: {
      const size_t length = ReadVarint(at, &size);
      if (length == 0) return false;
      at.remove_prefix(length);
      break;
    }
    default:
      break;  // a group's record is its tag alone
  }
  if (size > at.size()) return false;
  record->body = at.substr(0, size);
  *rest = at.substr(size);
  return true;
}

std::string Written(const Record& record, Random& random, bool overlong) {
  const size_t padding = overlong ? 1 + random() % 2 : 0;
  std::string bytes =
      Varint(record.tag, overlong && random() % 2 ? padding : 0);
  if ((record.tag & 7) == kLength) {
    bytes += Varint(record.body.size(), padding);
  }
  return bytes + record.body;
}

bool IsTensor(const Record& record) {
  return (record.tag & 7) == kLength && record.tag >> 3 >= 2 &&
         record.tag >> 3 <= 6;
}

// Splits a tensor into two records, which protobuf merges.
Record SplitOff(Record* tensor, Random& random) {
  std::string_view rest = tensor->body;
  Record first{tensor->tag, ""};
  Record inner;
  for (uint64_t records = random() % 4; records > 0; --records) {
    if (!Take(&rest, &inner)) break;
    first.body.assign(tensor->body, 0, tensor->body.size() - rest.size());
  }
  tensor->body = std::string(rest);
  return first;
}

void EditOne(std::vector<Record>& records, Random& random) {
  const size_t at = random() % records.size();
  const auto place = records.begin() + static_cast<std::ptrdiff_t>(at);
  switch (random() % 5) {
    case 0:
      records.push_back(*place);
      break;
    case 1:
      records.erase(place);
      break;
    case 2:
      std::swap(*place, records[random() % records.size()]);
      break;
    case 3:
      if (IsTensor(*place)) records.insert(place, SplitOff(&*place, random));
      break;
    default: {
      const uint64_t group = 1 + random() % 20;
      records.insert(records.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                     Record{group << 3 | 4, ""});
      records.insert(records.begin() + static_cast<std::ptrdiff_t>(at),
                     Record{group << 3 | 3, ""});
    }
  }
}

}  // namespace

std::string EditedRecords(std::string_view message, Random& random) {
  std::vector<Record> records;
  std::string_view rest = message;
  for (Record record; Take(&rest, &record);) records.push_back(record);
  if (records.empty()) return std::string(message);
  Record& inside = records[random() % records.size()];
  if (IsTensor(inside) && random() % 2 == 0) {
    inside.body = EditedRecords(inside.body, random);
  } else {
    EditOne(records, random);
  }
  std::string edited;
  for (const Record& record : records) {
    edited += Written(record, random, random() % 16 == 0);
  }
  return edited.append(rest);
}

}  // namespace lossd::fuzz
