#include "client/cli/npz.h"

#include <minizip/unzip.h>
#include <minizip/zip.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli/array_file.h"
#include "client/cli/npy.h"

namespace lossd::cli {
namespace {

constexpr absl::string_view kEnding = ".npy";

// The methods of zip that NumPy writes.
constexpr int kStored = 0;
constexpr int kDeflated = Z_DEFLATED;

constexpr unsigned kEncrypted = 1;  // a flag of a member

// A member is read and written in pieces, because a call takes 32 bits.
constexpr size_t kPiece = size_t{1} << 16;

using Archive = std::unique_ptr<std::remove_pointer_t<unzFile>,
                                decltype([](unzFile file) { unzClose(file); })>;

absl::Status Damaged(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("the .npz file is damaged: ", what));
}

absl::StatusOr<Archive> Open(const std::string& path) {
  errno = 0;
  Archive archive(unzOpen64(path.c_str()));
  if (archive != nullptr) return archive;
  return absl::InvalidArgumentError(
      errno == 0 ? "not a .npz file, or its end is cut off"
                 : std::strerror(errno));
}

// Returns the name of the member at which the archive stands.
absl::StatusOr<std::string> MemberName(unzFile archive) {
  unz_file_info64 info = {};
  if (unzGetCurrentFileInfo64(archive, &info, nullptr, 0, nullptr, 0, nullptr,
                              0) != UNZ_OK) {
    return Damaged("its directory is no directory");
  }
  std::string name(info.size_filename, '\0');
  if (unzGetCurrentFileInfo64(archive, nullptr, name.data(), name.size(),
                              nullptr, 0, nullptr, 0) != UNZ_OK) {
    return Damaged("its directory is no directory");
  }
  return name;
}

// Goes to the member that holds the array `asked`.
absl::Status GoTo(unzFile archive, const std::string& asked) {
  std::vector<std::string> names;
  std::vector<unz64_file_pos> places;
  int step = unzGoToFirstFile(archive);
  for (; step == UNZ_OK; step = unzGoToNextFile(archive)) {
    absl::StatusOr<std::string> name = MemberName(archive);
    if (!name.ok()) return name.status();
    if (!absl::EndsWith(*name, kEnding)) continue;
    unz64_file_pos place = {};
    unzGetFilePos64(archive, &place);
    names.emplace_back(absl::StripSuffix(*name, kEnding));
    places.push_back(place);
  }
  if (step != UNZ_END_OF_LIST_OF_FILE) {
    return Damaged("its directory is no directory");
  }
  const absl::StatusOr<std::string> name = ChooseArray(names, asked);
  if (!name.ok()) return name.status();
  const auto index = std::find(names.begin(), names.end(), *name);
  if (unzGoToFilePos64(archive, &places[index - names.begin()]) != UNZ_OK) {
    return Damaged("its directory is no directory");
  }
  return absl::OkStatus();
}

absl::Status CheckMethod(unzFile archive) {
  unz_file_info64 info = {};
  unzGetCurrentFileInfo64(archive, &info, nullptr, 0, nullptr, 0, nullptr, 0);
  if ((info.flag & kEncrypted) != 0) {
    return absl::UnimplementedError("the array is encrypted");
  }
  const auto method = static_cast<int>(info.compression_method);
  if (method == kStored || method == kDeflated) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(
      "the array is compressed by method ", method,
      ", which is not read; save with numpy.savez or numpy.savez_compressed"));
}

// Returns the bytes of the member at which the archive stands; its checksum is
// checked.
absl::StatusOr<std::string> ReadMember(unzFile archive) {
  if (unzOpenCurrentFile(archive) != UNZ_OK) {
    return Damaged("the array is not where the directory says");
  }
  // The size in the directory may be wrong, so memory follows what is there.
  std::string content;
  int count = 0;
  do {
    const size_t size = content.size();
    content.resize(size + kPiece);
    count = unzReadCurrentFile(archive, content.data() + size, kPiece);
    content.resize(size + static_cast<size_t>(std::max(count, 0)));
  } while (count > 0);
  const int closed = unzCloseCurrentFile(archive);
  if (closed == UNZ_CRCERROR) return Damaged("the array's checksum is wrong");
  if (count < 0 || closed != UNZ_OK) {
    return Damaged("the array's bytes cannot be read");
  }
  return content;
}

absl::Status Unwritable() {
  return absl::InvalidArgumentError(
      absl::StrCat("cannot be written: ", std::strerror(errno)));
}

bool WriteMember(zipFile archive, absl::string_view content) {
  for (size_t first = 0; first < content.size(); first += kPiece) {
    const absl::string_view piece = content.substr(first, kPiece);
    if (zipWriteInFileInZip(archive, piece.data(),
                            static_cast<unsigned>(piece.size())) != ZIP_OK) {
      return false;
    }
  }
  return true;
}

}  // namespace

absl::StatusOr<Array> ReadNpz(const std::string& path, const std::string& name,
                              v1::DataType float8) {
  const absl::StatusOr<Archive> archive = Open(path);
  if (!archive.ok()) return archive.status();
  absl::Status status = GoTo(archive->get(), name);
  if (status.ok()) status = CheckMethod(archive->get());
  if (!status.ok()) return status;
  const absl::StatusOr<std::string> content = ReadMember(archive->get());
  if (!content.ok()) return content.status();
  return ParseNpy(*content, float8);
}

absl::Status WriteNpz(const std::string& path, const std::string& name,
                      const client::TensorView& array) {
  const absl::StatusOr<std::string> header = NpyHeader(array);
  if (!header.ok()) return header.status();
  const zipFile archive = zipOpen64(path.c_str(), APPEND_STATUS_CREATE);
  if (archive == nullptr) return Unwritable();
  const std::string member = absl::StrCat(name, kEnding);
  const bool large =
      array.bytes.size() > std::numeric_limits<uint32_t>::max() / 2;
  const absl::string_view bytes(
      reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size());
  const bool written =
      zipOpenNewFileInZip64(archive, member.c_str(), nullptr, nullptr, 0,
                            nullptr, 0, nullptr, kStored, 0,
                            static_cast<int>(large)) == ZIP_OK &&
      WriteMember(archive, *header) && WriteMember(archive, bytes) &&
      zipCloseFileInZip(archive) == ZIP_OK;
  if (zipClose(archive, nullptr) != ZIP_OK || !written) return Unwritable();
  return absl::OkStatus();
}

}  // namespace lossd::cli
