#include "client/cli/npy_header.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace lossd::cli {
namespace {

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
    if (quote != '\'' && quote != '"') return Malformed("no string");
    const size_t end = text_.find(quote, 1);
    if (end == absl::string_view::npos) return Malformed("an open string");
    std::string value(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return value;
  }

  absl::StatusOr<bool> Bool() {
    if (Consume("True")) return true;
    if (Consume("False")) return false;
    return Malformed("neither True nor False");
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
      if (!Consume(")")) return Malformed("an open tuple");
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
                       NpyHeader& header) {
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
  return Malformed(absl::StrCat("key '", key, "'"));
}

}  // namespace

absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view dictionary) {
  LiteralReader reader(dictionary);
  NpyHeader header;
  std::string seen;
  if (!reader.Consume("{")) return Malformed("no dictionary");
  while (!reader.Consume("}")) {
    const absl::StatusOr<std::string> key = reader.String();
    if (!key.ok()) return key.status();
    if (!reader.Consume(":")) return Malformed("no value");
    const absl::Status read = ReadEntry(*key, reader, header);
    if (!read.ok()) return read;
    absl::StrAppend(&seen, key->substr(0, 1));
    if (reader.Consume(",")) continue;
    if (!reader.Consume("}")) return Malformed("an open dictionary");
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

}  // namespace lossd::cli
