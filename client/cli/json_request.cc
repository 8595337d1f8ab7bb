#include "client/cli/json_request.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace lossd::cli {
namespace {

// Returns the offset at which the text stops being JSON, or nothing if all of
// it is JSON. protobuf's parser does not tell.
std::optional<size_t> OffsetOfMistake(const std::string& text) {
  try {
    [[maybe_unused]] const nlohmann::json whole = nlohmann::json::parse(text);
    return std::nullopt;
  } catch (const nlohmann::json::parse_error& error) {
    // The parser counts the bytes that it has read, and the end as one more.
    return std::clamp<size_t>(error.byte, 1, text.size() + 1) - 1;
  }
}

std::string LineAndColumn(absl::string_view text, size_t offset) {
  const absl::string_view before = text.substr(0, offset);
  const size_t line = before.rfind('\n');
  const size_t begin = line == absl::string_view::npos ? 0 : line + 1;
  return absl::StrCat("line ",
                      1 + std::count(before.begin(), before.end(), '\n'),
                      ", column ", 1 + offset - begin);
}

}  // namespace

absl::StatusOr<v1::ComputeLossRequest> ParseJsonRequest(
    const std::string& text) {
  v1::ComputeLossRequest request;
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(text, &request);
  if (parsed.ok()) return request;
  std::string message(parsed.message());
  // The lines after the first show a part of the text.
  message.resize(std::min(message.find('\n'), message.size()));
  if (const auto offset = OffsetOfMistake(text)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "is not JSON from ", LineAndColumn(text, *offset), " on: ", message));
  }
  // A mistake that concerns the whole text has no field before its colon.
  return absl::InvalidArgumentError(
      absl::StrCat("is not a ComputeLossRequest in JSON: ",
                   absl::StripPrefix(message, ": ")));
}

}  // namespace lossd::cli
