#include "client/cli/safetensors.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/data_type.h"
#include "client/cli/array_file.h"

namespace lossd::cli {
namespace {

static_assert(std::endian::native == std::endian::little,
              "files and wire are little-endian, and bytes are copied as is");

using Entries = std::map<std::string, SafetensorsEntry>;

// The format's own limit of a header.
constexpr uint64_t kLargestHeader = 100'000'000;

constexpr char kMetadata[] = "__metadata__";

struct SafetensorsType {
  absl::string_view name;
  ElementType type;
};

constexpr SafetensorsType kTypes[] = {{"F16", ElementType::kFloat16},
                                      {"BF16", ElementType::kBFloat16},
                                      {"F32", ElementType::kFloat32},
                                      {"F64", ElementType::kFloat64},
                                      {"U8", ElementType::kUint8},
                                      {"BOOL", ElementType::kBool},
                                      {"I8", ElementType::kInt8},
                                      {"I16", ElementType::kInt16},
                                      {"I32", ElementType::kInt32},
                                      {"I64", ElementType::kInt64},
                                      {"F8_E4M3", ElementType::kFloat8E4M3Fn},
                                      {"F8_E5M2", ElementType::kFloat8E5M2}};

std::optional<ElementType> TypeNamed(absl::string_view name) {
  for (const SafetensorsType& known : kTypes) {
    if (known.name == name) return known.type;
  }
  return std::nullopt;
}

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("the safetensors header is malformed: ", what));
}

absl::Status CutOff() {
  return absl::InvalidArgumentError("not a safetensors file, or it is cut off");
}

// Parses JSON in which no object of the first two levels has a name twice.
absl::StatusOr<nlohmann::json> ParseObject(absl::string_view text) {
  std::set<std::string> seen[2];
  std::string twice;
  const auto check = [&](int depth, nlohmann::json::parse_event_t event,
                         nlohmann::json& value) {
    if (event != nlohmann::json::parse_event_t::key || depth > 2) return true;
    if (depth == 1) seen[1].clear();
    const auto name = value.get<std::string>();
    if (!seen[depth - 1].insert(name).second) twice = name;
    return true;
  };
  nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), check,
                                              /*allow_exceptions=*/false);
  if (!json.is_object()) return Malformed("it is not a JSON object");
  if (!twice.empty()) {
    return Malformed(absl::StrCat("\"", twice, "\" is there twice"));
  }
  return json;
}

// Returns a list of numbers that 63 bits hold, or nothing for anything else.
std::optional<std::vector<int64_t>> Numbers(const nlohmann::json& list) {
  if (!list.is_array()) return std::nullopt;
  std::vector<int64_t> numbers;
  for (const nlohmann::json& number : list) {
    if (!number.is_number_unsigned()) return std::nullopt;
    const auto value = number.get<uint64_t>();
    if (value > std::numeric_limits<int64_t>::max()) return std::nullopt;
    numbers.push_back(static_cast<int64_t>(value));
  }
  return numbers;
}

absl::StatusOr<SafetensorsEntry> ParseEntry(const std::string& name,
                                            const nlohmann::json& json) {
  const auto malformed = [&](absl::string_view what) {
    return Malformed(absl::StrCat("\"", name, "\" ", what));
  };
  if (!json.is_object()) return malformed("is not an object");
  const auto member = [&](const char* key) {
    const auto found = json.find(key);
    return found == json.end() ? nlohmann::json() : *found;
  };
  const nlohmann::json dtype = member("dtype");
  if (!dtype.is_string()) return malformed("has no dtype");
  const auto shape = Numbers(member("shape"));
  if (!shape.has_value()) return malformed("has no shape of whole numbers");
  const auto offsets = Numbers(member("data_offsets"));
  if (!offsets.has_value() || offsets->size() != 2 ||
      offsets->front() > offsets->back()) {
    return malformed("has no data_offsets of two rising numbers");
  }
  SafetensorsEntry entry{dtype.get<std::string>(),
                         {shape->begin(), shape->end()},
                         static_cast<uint64_t>(offsets->front()),
                         static_cast<uint64_t>(offsets->back())};
  const std::optional<ElementType> type = TypeNamed(entry.dtype);
  if (!type.has_value()) return entry;  // lossd does not know its size
  const auto bytes = BytesOf(entry.shape, ByteSize(*type, 1));
  if (!bytes.ok()) return malformed(bytes.status().message());
  if (*bytes != entry.end - entry.begin) {
    return malformed(absl::StrCat("takes ", *bytes, " bytes, and its offsets ",
                                  entry.end - entry.begin));
  }
  return entry;
}

// Checks that the tensors follow each other from the first byte of the data to
// the last.
absl::Status CheckPlaces(const Entries& entries, uint64_t data_bytes) {
  std::vector<std::pair<uint64_t, uint64_t>> places;
  for (const auto& [name, entry] : entries) {
    places.emplace_back(entry.begin, entry.end);
  }
  std::sort(places.begin(), places.end());
  uint64_t next = 0;
  for (const auto& [begin, end] : places) {
    if (begin != next) {
      return Malformed(
          absl::StrCat(begin < next ? "tensors overlap before byte "
                                    : "no tensor has the bytes before byte ",
                       std::max(begin, next)));
    }
    next = end;
  }
  if (next == data_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the header asks for ", next,
                   " bytes of data, the file has ", data_bytes));
}

// A file whose header has been read.
struct OpenFile {
  std::ifstream stream;
  std::string header;
  uint64_t data_bytes = 0;
};

absl::StatusOr<OpenFile> Open(const std::string& path) {
  OpenFile file;
  file.stream.open(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = file.stream.tellg();
  if (!file.stream || size < 0) {
    return absl::InvalidArgumentError(std::strerror(errno));
  }
  uint64_t length = 0;
  const auto bytes = static_cast<uint64_t>(size);
  file.stream.seekg(0);
  file.stream.read(reinterpret_cast<char*>(&length), sizeof(length));
  if (!file.stream) return CutOff();
  if (length > kLargestHeader) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a safetensors file: its header would have ", length,
                     " bytes, and at most ", kLargestHeader, " are allowed"));
  }
  if (length > bytes - sizeof(length)) return CutOff();
  file.header.resize(length);
  file.stream.read(file.header.data(), static_cast<std::streamsize>(length));
  if (!file.stream) return CutOff();
  file.data_bytes = bytes - sizeof(length) - length;
  return file;
}

}  // namespace

absl::StatusOr<Entries> ParseSafetensorsHeader(absl::string_view json,
                                               uint64_t data_bytes) {
  const absl::StatusOr<nlohmann::json> header = ParseObject(json);
  if (!header.ok()) return header.status();
  Entries entries;
  for (const auto& [name, value] : header->items()) {
    if (name == kMetadata) continue;
    absl::StatusOr<SafetensorsEntry> entry = ParseEntry(name, value);
    if (!entry.ok()) return entry.status();
    entries.emplace(name, *std::move(entry));
  }
  const absl::Status places = CheckPlaces(entries, data_bytes);
  if (!places.ok()) return places;
  return entries;
}

absl::StatusOr<Array> ReadSafetensors(const std::string& path,
                                      const std::string& name) {
  absl::StatusOr<OpenFile> file = Open(path);
  if (!file.ok()) return file.status();
  const auto entries = ParseSafetensorsHeader(file->header, file->data_bytes);
  if (!entries.ok()) return entries.status();
  std::vector<std::string> names;
  for (const auto& [known, entry] : *entries) names.push_back(known);
  const absl::StatusOr<std::string> chosen = ChooseArray(names, name);
  if (!chosen.ok()) return chosen.status();
  const SafetensorsEntry& entry = entries->at(*chosen);
  const std::optional<ElementType> type = TypeNamed(entry.dtype);
  if (!type.has_value()) {
    return absl::UnimplementedError(absl::StrCat(
        "\"", *chosen, "\" is of type ", entry.dtype,
        ", which is not read; save as F8_E4M3, F8_E5M2, F16, BF16, F32, F64, "
        "BOOL, U8, I8, I16, I32 or I64"));
  }
  Array array{ToProto(*type), entry.shape,
              std::vector<std::byte>(entry.end - entry.begin)};
  file->stream.seekg(static_cast<std::streamoff>(
      sizeof(uint64_t) + file->header.size() + entry.begin));
  file->stream.read(reinterpret_cast<char*>(array.bytes.data()),
                    static_cast<std::streamsize>(array.bytes.size()));
  if (!file->stream) return CutOff();
  return array;
}

absl::Status WriteSafetensors(const std::string& path, const std::string& name,
                              const client::TensorView& array) {
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const SafetensorsType& known) {
                                    return ToProto(known.type) == array.dtype;
                                  });
  if (type == std::end(kTypes)) {
    return absl::UnimplementedError(absl::StrCat(
        "no safetensors type for ", v1::DataType_Name(array.dtype)));
  }
  nlohmann::json header;
  header[name] = {
      {"dtype", std::string(type->name)},
      {"shape", std::vector<int64_t>(array.shape.begin(), array.shape.end())},
      {"data_offsets", {0, array.bytes.size()}}};
  std::string text = header.dump();
  // The data begins at a multiple of 8 bytes.
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof(length));
  file << text;
  file.write(reinterpret_cast<const char*>(array.bytes.data()),
             static_cast<std::streamsize>(array.bytes.size()));
  file.close();
  if (!file) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot be written: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace lossd::cli
