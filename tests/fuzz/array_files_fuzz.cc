// Files of arrays are read or refused in one line, whatever is in them, and an
// array that was read is written and read again without a change.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/array_file.h"
#include "client/cli/npy.h"
#include "client/cli/safetensors.h"
#include "tests/fuzz/input.h"

namespace lossd::fuzz {
namespace {

using cli::Array;
using cli::ArrayFileName;
using cli::FileFormat;

// A file in memory.
class File {
 public:
  explicit File(std::span<const uint8_t> content)
      : number_(memfd_create("lossd_fuzz", MFD_CLOEXEC)) {
    const auto size = static_cast<ssize_t>(content.size());
    if (write(number_, content.data(), content.size()) != size) {
      Fail("no memory for the file");
    }
  }
  ~File() { close(number_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::string path() const { return absl::StrCat("/proc/self/fd/", number_); }

 private:
  const int number_;
};

void CheckRefusal(const absl::Status& status, const std::string& path) {
  if (!absl::IsInvalidArgument(status) && !absl::IsUnimplemented(status)) {
    Fail(status.ToString());
  }
  const std::string message(status.message());
  if (message.rfind(path, 0) != 0) Fail(absl::StrCat("no path: ", message));
}

// Fails unless the array has the bytes that its shape asks for.
void CheckSize(const Array& array) {
  for (const size_t width : {1, 2, 4, 8}) {
    const auto bytes = cli::BytesOf(array.shape, width);
    if (bytes.ok() && *bytes == array.bytes.size()) return;
  }
  Fail(absl::StrCat(array.bytes.size(), " bytes are of no element size"));
}

bool IsFloat(v1::DataType type) {
  return type == v1::DATA_TYPE_FLOAT16 || type == v1::DATA_TYPE_BFLOAT16 ||
         type == v1::DATA_TYPE_FLOAT32 || type == v1::DATA_TYPE_FLOAT64;
}

void CheckRoundTrip(FileFormat format, const Array& array) {
  if (!IsFloat(array.dtype)) return;
  const File file({});
  const std::string path = file.path();
  const absl::Status written =
      format == FileFormat::kNpy
          ? cli::WriteNpy(path, array.view())
          : cli::WriteSafetensors(path, "x", array.view());
  if (!written.ok()) Fail(written.ToString());
  const absl::StatusOr<Array> again =
      cli::ReadArrayFile({.format = format, .path = path});
  if (!again.ok()) Fail(again.status().ToString());
  if (again->dtype != array.dtype || again->shape != array.shape ||
      again->bytes != array.bytes) {
    Fail("another array was read again");
  }
}

// The first byte chooses the format and the float8 of bytes without a type; the
// rest is the file.
void Check(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return;
  constexpr FileFormat kFormats[] = {FileFormat::kNpy, FileFormat::kNpz,
                                     FileFormat::kSafetensors};
  constexpr v1::DataType kFloat8s[] = {v1::DATA_TYPE_UNSPECIFIED,
                                       v1::DATA_TYPE_FLOAT8_E4M3FN};
  const FileFormat format = kFormats[bytes[0] % 3];
  const File file(bytes.subspan(1));
  const absl::StatusOr<Array> array = cli::ReadArrayFile(
      {.format = format, .path = file.path()}, kFloat8s[bytes[0] / 3 % 2]);
  if (!array.ok()) return CheckRefusal(array.status(), file.path());
  CheckSize(*array);
  if (format != FileFormat::kNpz) CheckRoundTrip(format, *array);
}

}  // namespace
}  // namespace lossd::fuzz

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  lossd::fuzz::Check({bytes, size});
  return 0;
}
