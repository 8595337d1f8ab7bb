#include "client/cli/npy.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/data_type.h"
#include "base/file.h"
#include "client/cpp/tensor/float8.h"

namespace lossd::cli {
namespace {

static_assert(std::endian::native == std::endian::little,
              "files and wire are little-endian, and bytes are copied as is");

constexpr absl::string_view kMagic("\x93NUMPY", 6);

// An element type and the `descr` of NumPy that stands for it.
struct NpyType {
  absl::string_view descr;
  ElementType type;
};

// Where a type has two descriptions, files are written with the first one.
// Those of float8 are written as bytes without a meaning, which NumPy reads.
constexpr NpyType kNpyTypes[] = {
    {"<f2", ElementType::kFloat16},    {"<V2", ElementType::kBFloat16},
    {"|V2", ElementType::kBFloat16},   {"<f4", ElementType::kFloat32},
    {"<f8", ElementType::kFloat64},    {"|u1", ElementType::kUint8},
    {"|b1", ElementType::kBool},       {"<i4", ElementType::kInt32},
    {"<i8", ElementType::kInt64},      {"|i1", ElementType::kInt8},
    {"<i2", ElementType::kInt16},      {"|V1", ElementType::kFloat8E4M3Fn},
    {"|V1", ElementType::kFloat8E5M2},
};

// The descriptions of single bytes, as which NumPy saves the float8 types of
// ml_dtypes; they do not say which of these it is.
constexpr absl::string_view kFloat8Descrs[] = {"|V1", "<V1", "|f1", "<f1"};

absl::StatusOr<ElementType> ElementTypeOf(absl::string_view descr,
                                          v1::DataType float8) {
  if (std::ranges::find(kFloat8Descrs, descr) != std::end(kFloat8Descrs)) {
    if (client::IsFloat8(float8)) return *FromProto(float8);
    return absl::InvalidArgumentError(absl::StrCat(
        "element type '", descr,
        "' does not say which float8 it is; --dtype=float8_e4m3fn or "
        "--dtype=float8_e5m2 does"));
  }
  for (const NpyType& known : kNpyTypes) {
    if (known.descr == descr) return known.type;
  }
  return absl::UnimplementedError(absl::StrCat(
      "element type '", descr,
      "' is not read; save as <f2, <f4, <f8, |u1, |b1, |i1, <i2, <i4, <i8, "
      "bfloat16 as <V2, or float8 as |V1"));
}

// A .npy file's header.
struct Header {
  // NumPy's name of the element type, such as "<f4".
  std::string descr;
  bool fortran_order = false;
  client::Shape shape;
};

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("the .npy header is malformed: ", what));
}

// Reads the few Python literals that headers are made of, left to right.
class LiteralReader {
 public:
  explicit LiteralReader(absl::string_view text) : text_(text) {}

  bool Consume(absl::string_view token) {
    SkipSpace();
    return absl::ConsumePrefix(&text_, token);
  }

  bool AtEnd() {
    SkipSpace();
    return text_.empty();
  }

  absl::StatusOr<std::string> String() {
    SkipSpace();
    const char quote = text_.empty() ? '\0' : text_.front();
    if (quote != '\'' && quote != '"') return Malformed("a string is missing");
    const size_t end = text_.find(quote, 1);
    if (end == absl::string_view::npos) return Malformed("a string has no end");
    std::string value(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return value;
  }

  absl::StatusOr<bool> Bool() {
    if (Consume("True")) return true;
    if (Consume("False")) return false;
    return Malformed("a value is neither True nor False");
  }

  absl::StatusOr<client::Shape> Tuple() {
    client::Shape shape;
    if (!Consume("(")) return Malformed("the shape is not a tuple");
    while (!Consume(")")) {
      SkipSpace();
      size_t digits = 0;
      while (digits < text_.size() && absl::ascii_isdigit(text_[digits])) {
        ++digits;
      }
      int64_t dimension = 0;
      if (!absl::SimpleAtoi(text_.substr(0, digits), &dimension)) {
        return Malformed("a dimension is not a number");
      }
      text_.remove_prefix(digits);
      shape.push_back(dimension);
      if (Consume(",")) continue;
      if (!Consume(")")) return Malformed("the shape has no end");
      break;
    }
    return shape;
  }

 private:
  void SkipSpace() { text_ = absl::StripLeadingAsciiWhitespace(text_); }

  absl::string_view text_;
};

// Reads the value of `key` into `header`.
absl::Status ReadEntry(const std::string& key, LiteralReader& reader,
                       Header& header) {
  if (key == "descr") {
    auto descr = reader.String();
    if (!descr.ok()) {
      return absl::UnimplementedError("structured .npy types are not read");
    }
    header.descr = *std::move(descr);
    return absl::OkStatus();
  }
  if (key == "fortran_order") {
    const auto order = reader.Bool();
    if (order.ok()) header.fortran_order = *order;
    return order.status();
  }
  if (key == "shape") {
    auto shape = reader.Tuple();
    if (!shape.ok()) return shape.status();
    header.shape = *std::move(shape);
    return absl::OkStatus();
  }
  return Malformed(absl::StrCat("unknown key '", key, "'"));
}

// Reads the Python dictionary of a header:
// {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, with its keys in
// any order, each exactly once.
absl::StatusOr<Header> ParseHeader(absl::string_view dictionary) {
  LiteralReader reader(dictionary);
  Header header;
  std::string seen;
  if (!reader.Consume("{")) return Malformed("there is no dictionary");
  while (!reader.Consume("}")) {
    const absl::StatusOr<std::string> key = reader.String();
    if (!key.ok()) return key.status();
    if (!reader.Consume(":")) return Malformed("a value is missing");
    const absl::Status read = ReadEntry(*key, reader, header);
    if (!read.ok()) return read;
    absl::StrAppend(&seen, key->substr(0, 1));
    if (reader.Consume(",")) continue;
    if (!reader.Consume("}")) return Malformed("the dictionary has no end");
    break;
  }
  if (!reader.AtEnd()) return Malformed("text after the dictionary");
  // Three entries with these three initials, in any order.
  if (seen.size() != 3 || seen.find_first_not_of("dfs") != std::string::npos ||
      seen[0] == seen[1] || seen[1] == seen[2] || seen[0] == seen[2]) {
    return Malformed("it needs descr, fortran_order and shape, once each");
  }
  return header;
}

// Takes the magic, the version and the length off `content` and returns the
// header's text.
absl::StatusOr<absl::string_view> TakeHeader(absl::string_view& content) {
  if (!absl::ConsumePrefix(&content, kMagic)) {
    return absl::InvalidArgumentError("not a .npy file");
  }
  if (content.size() < 2)
    return absl::InvalidArgumentError("the file is cut off");
  const int major = static_cast<unsigned char>(content[0]);
  if (major < 1 || major > 3) {
    return absl::UnimplementedError(
        absl::StrCat(".npy version ", major, " is not read"));
  }
  content.remove_prefix(2);
  const size_t width = major == 1 ? 2 : 4;
  if (content.size() < width)
    return absl::InvalidArgumentError("the file is cut off");
  uint32_t length = 0;
  std::memcpy(&length, content.data(), width);
  content.remove_prefix(width);
  if (content.size() < length)
    return absl::InvalidArgumentError("the file is cut off");
  const absl::string_view header = content.substr(0, length);
  content.remove_prefix(length);
  return header;
}

absl::Status InFile(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(path, ": ", status.message()));
}

}  // namespace

absl::StatusOr<Array> ParseNpy(absl::string_view content, v1::DataType float8) {
  const auto text = TakeHeader(content);
  if (!text.ok()) return text.status();
  auto header = ParseHeader(*text);
  if (!header.ok()) return header.status();
  const auto type = ElementTypeOf(header->descr, float8);
  if (!type.ok()) return type.status();
  if (header->fortran_order && header->shape.size() > 1) {
    return absl::UnimplementedError(
        "Fortran order is not read; save numpy.ascontiguousarray(a)");
  }
  const auto size = BytesOf(header->shape, ByteSize(*type, 1));
  if (!size.ok()) return size.status();
  if (content.size() != *size) {
    return absl::InvalidArgumentError(
        absl::StrCat("the header asks for ", *size,
                     " bytes of data, the file has ", content.size()));
  }
  const auto* begin = reinterpret_cast<const std::byte*>(content.data());
  return Array{ToProto(*type), std::move(header->shape),
               std::vector<std::byte>(begin, begin + content.size())};
}

absl::StatusOr<Array> ReadNpy(const std::string& path, v1::DataType float8) {
  const absl::StatusOr<std::string> content = ReadFileOrStdin(path);
  if (!content.ok()) return content.status();
  absl::StatusOr<Array> array = ParseNpy(*content, float8);
  if (!array.ok()) return InFile(path, array.status());
  return array;
}

absl::StatusOr<std::string> NpyHeader(const client::TensorView& array) {
  const auto* type = std::find_if(
      std::begin(kNpyTypes), std::end(kNpyTypes),
      [&](const NpyType& known) { return ToProto(known.type) == array.dtype; });
  if (type == std::end(kNpyTypes)) {
    return absl::UnimplementedError(
        absl::StrCat("no .npy type for ", v1::DataType_Name(array.dtype)));
  }
  std::string header =
      absl::StrCat("{'descr': '", type->descr, "', 'fortran_order': False, ",
                   "'shape': (", absl::StrJoin(array.shape, ", "),
                   array.shape.size() == 1 ? "," : "", "), }");
  // The data begins at a multiple of 64 bytes. Magic, version and length take
  // 6, 2 and 2 bytes.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header.push_back('\n');
  const auto length = static_cast<uint16_t>(header.size());
  std::string prefix(kMagic);
  prefix += std::string("\x01\x00", 2);
  prefix.append(reinterpret_cast<const char*>(&length), sizeof(length));
  return prefix + header;
}

absl::Status WriteNpy(const std::string& path,
                      const client::TensorView& array) {
  const absl::StatusOr<std::string> header = NpyHeader(array);
  if (!header.ok()) return InFile(path, header.status());
  std::ofstream file(path, std::ios::binary);
  file << *header;
  file.write(reinterpret_cast<const char*>(array.bytes.data()),
             static_cast<std::streamsize>(array.bytes.size()));
  file.close();
  if (!file) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": cannot be written: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace lossd::cli
