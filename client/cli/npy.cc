#include "client/cli/npy.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "client/cli/npy_header.h"

namespace lossd::cli {
namespace {

static_assert(std::endian::native == std::endian::little,
              "files and wire are little-endian, and bytes are taken as is");

constexpr absl::string_view kMagic("\x93NUMPY", 6);

// NumPy's name of an element type, and ours.
struct ElementType {
  absl::string_view descr;
  v1::DataType dtype;
  size_t width;
};

constexpr ElementType kElementTypes[] = {
    {"<f2", v1::DATA_TYPE_FLOAT16, 2},  {"<V2", v1::DATA_TYPE_BFLOAT16, 2},
    {"|V2", v1::DATA_TYPE_BFLOAT16, 2}, {"<f4", v1::DATA_TYPE_FLOAT32, 4},
    {"<f8", v1::DATA_TYPE_FLOAT64, 8},  {"|u1", v1::DATA_TYPE_UINT8, 1},
    {"|b1", v1::DATA_TYPE_BOOL, 1},     {"<i4", v1::DATA_TYPE_INT32, 4},
    {"<i8", v1::DATA_TYPE_INT64, 8},
};

absl::StatusOr<ElementType> FindElementType(absl::string_view descr) {
  for (const ElementType& type : kElementTypes) {
    if (type.descr == descr) return type;
  }
  return absl::UnimplementedError(absl::StrCat(
      "element type '", descr,
      "' is not read; save as <f2, <f4, <f8, |u1, |b1, <i4, <i8, or "
      "bfloat16 as <V2"));
}

// Takes the magic, the version and the length off `content` and returns the
// header's text.
absl::StatusOr<absl::string_view> TakeHeader(absl::string_view& content) {
  if (!absl::ConsumePrefix(&content, kMagic)) {
    return absl::InvalidArgumentError("not a .npy file");
  }
  if (content.size() < 2) return absl::InvalidArgumentError("cut off");
  const int major = static_cast<unsigned char>(content[0]);
  if (major < 1 || major > 3) {
    return absl::UnimplementedError(
        absl::StrCat(".npy version ", major, " is not read"));
  }
  content.remove_prefix(2);
  const size_t width = major == 1 ? 2 : 4;
  if (content.size() < width) return absl::InvalidArgumentError("cut off");
  uint32_t length = 0;
  std::memcpy(&length, content.data(), width);
  content.remove_prefix(width);
  if (content.size() < length) return absl::InvalidArgumentError("cut off");
  const absl::string_view header = content.substr(0, length);
  content.remove_prefix(length);
  return header;
}

// Of an array; a 0 anywhere in the shape makes it empty, however large the
// rest.
absl::StatusOr<size_t> ByteSize(const client::Shape& shape, size_t width) {
  size_t size = width;
  bool empty = false;
  for (const int64_t dimension : shape) {
    if (dimension == 0) {
      empty = true;
    } else if (static_cast<size_t>(dimension) >
               std::numeric_limits<size_t>::max() / size) {
      return absl::InvalidArgumentError("the shape is too large");
    } else {
      size *= static_cast<size_t>(dimension);
    }
  }
  return empty ? 0 : size;
}

absl::Status InFile(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(path, ": ", status.message()));
}

}  // namespace

absl::StatusOr<Array> ParseNpy(absl::string_view content) {
  const auto text = TakeHeader(content);
  if (!text.ok()) return text.status();
  auto header = ParseNpyHeader(*text);
  if (!header.ok()) return header.status();
  const auto type = FindElementType(header->descr);
  if (!type.ok()) return type.status();
  if (header->fortran_order && header->shape.size() > 1) {
    return absl::UnimplementedError(
        "Fortran order is not read; save numpy.ascontiguousarray(a)");
  }
  const auto size = ByteSize(header->shape, type->width);
  if (!size.ok()) return size.status();
  if (content.size() != *size) {
    return absl::InvalidArgumentError(
        absl::StrCat("the header asks for ", *size,
                     " bytes of data, the file has ", content.size()));
  }
  const auto* begin = reinterpret_cast<const std::byte*>(content.data());
  return Array{type->dtype, std::move(header->shape),
               std::vector<std::byte>(begin, begin + content.size())};
}

absl::StatusOr<Array> ReadNpy(const std::string& path) {
  const absl::StatusOr<std::string> content = ReadFileOrStdin(path);
  if (!content.ok()) return content.status();
  absl::StatusOr<Array> array = ParseNpy(*content);
  if (!array.ok()) return InFile(path, array.status());
  return array;
}

absl::Status WriteNpy(const std::string& path,
                      const client::TensorView& array) {
  const auto* type = std::find_if(
      std::begin(kElementTypes), std::end(kElementTypes),
      [&](const ElementType& known) { return known.dtype == array.dtype; });
  if (type == std::end(kElementTypes)) {
    return absl::UnimplementedError(absl::StrCat(
        path, ": no .npy type for ", v1::DataType_Name(array.dtype)));
  }
  std::string header =
      absl::StrCat("{'descr': '", type->descr, "', 'fortran_order': False, ",
                   "'shape': (", absl::StrJoin(array.shape, ", "),
                   array.shape.size() == 1 ? "," : "", "), }");
  // Data begins at a multiple of 64 bytes: 6 of magic, 2 of version, 2 of
  // length.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header.push_back('\n');
  const auto length = static_cast<uint16_t>(header.size());
  std::string prefix(kMagic);
  prefix += std::string("\x01\x00", 2);
  prefix.append(reinterpret_cast<const char*>(&length), sizeof(length));
  std::ofstream file(path, std::ios::binary);
  file << prefix << header;
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
