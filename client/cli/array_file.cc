#include "client/cli/array_file.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/npy.h"
#include "client/cli/npz.h"
#include "client/cli/safetensors.h"

namespace lossd::cli {
namespace {

// A message lists so many names of a file that may have thousands.
constexpr size_t kMostListed = 20;

struct Ending {
  absl::string_view text;
  FileFormat format;
};

constexpr Ending kEndings[] = {{".npz", FileFormat::kNpz},
                               {".safetensors", FileFormat::kSafetensors}};

std::string Listed(std::vector<std::string> names) {
  const size_t count = names.size();
  names.resize(std::min(count, kMostListed));
  std::string list = absl::StrJoin(names, ", ");
  if (count > kMostListed) absl::StrAppend(&list, ", ... (", count, " in all)");
  return list;
}

absl::Status InFile(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(path, ": ", status.message()));
}

}  // namespace

std::optional<ArrayFileName> ParseArrayFileName(absl::string_view text) {
  for (const auto& [ending, format] : kEndings) {
    if (absl::EndsWith(text, ending)) {
      return ArrayFileName{format, std::string(text)};
    }
    const size_t colon = text.find(absl::StrCat(ending, ":"));
    if (colon != absl::string_view::npos) {
      const size_t end = colon + ending.size();
      return ArrayFileName{format, std::string(text.substr(0, end)),
                           std::string(text.substr(end + 1))};
    }
  }
  if (!absl::EndsWith(text, ".npy")) return std::nullopt;
  return ArrayFileName{FileFormat::kNpy, std::string(text)};
}

absl::StatusOr<std::string> ChooseArray(const std::vector<std::string>& names,
                                        const std::string& asked) {
  if (names.empty()) {
    return absl::InvalidArgumentError("the file has no arrays");
  }
  if (asked.empty()) {
    if (names.size() == 1) return names.front();
    return absl::InvalidArgumentError(absl::StrCat(
        "the file has several arrays; name one of them after a colon: ",
        Listed(names)));
  }
  if (std::find(names.begin(), names.end(), asked) != names.end()) return asked;
  return absl::InvalidArgumentError(absl::StrCat(
      "the file has no array \"", asked, "\"; it has ", Listed(names)));
}

absl::StatusOr<Array> ReadArrayFile(const ArrayFileName& name,
                                    v1::DataType float8) {
  if (name.format == FileFormat::kNpy) return ReadNpy(name.path, float8);
  absl::StatusOr<Array> array = name.format == FileFormat::kNpz
                                    ? ReadNpz(name.path, name.array, float8)
                                    : ReadSafetensors(name.path, name.array);
  if (!array.ok()) return InFile(name.path, array.status());
  return array;
}

absl::Status WriteArrayFile(const std::string& text,
                            const std::string& default_name,
                            const client::TensorView& array) {
  const std::optional<ArrayFileName> name = ParseArrayFileName(text);
  if (!name.has_value() || name->format == FileFormat::kNpy) {
    return WriteNpy(text, array);
  }
  const std::string array_name =
      name->array.empty() ? default_name : name->array;
  return InFile(name->path,
                name->format == FileFormat::kNpz
                    ? WriteNpz(name->path, array_name, array)
                    : WriteSafetensors(name->path, array_name, array));
}

}  // namespace lossd::cli
