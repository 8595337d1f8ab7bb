#include "client/cli/watch/exposition.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lossd::cli::watch {
namespace {

constexpr absl::string_view kBlanks = " \t";

bool IsNameCharacter(char c, bool first) {
  return absl::ascii_isalpha(c) || c == '_' || c == ':' ||
         (!first && absl::ascii_isdigit(c));
}

// Reads one line of samples from its left to its right.
class SampleLine {
 public:
  explicit SampleLine(absl::string_view line) : rest_(line) {}

  // Returns nothing if the next characters are no name.
  std::optional<std::string> ReadName() {
    SkipBlanks();
    size_t length = 0;
    while (length < rest_.size() &&
           IsNameCharacter(rest_[length], length == 0)) {
      ++length;
    }
    if (length == 0) return std::nullopt;
    return std::string(Take(length));
  }

  // Returns nothing if the labels, which may be absent, are malformed.
  std::optional<Labels> ReadLabels() {
    Labels labels;
    if (!Skip('{')) return labels;
    while (!Skip('}')) {
      std::optional<std::string> name = ReadName();
      if (!name.has_value() || !Skip('=')) return std::nullopt;
      std::optional<std::string> value = ReadQuoted();
      if (!value.has_value()) return std::nullopt;
      if (!labels.emplace(*std::move(name), *std::move(value)).second) {
        return std::nullopt;
      }
      if (!Skip(',') && !absl::StartsWith(rest_, "}")) return std::nullopt;
    }
    return labels;
  }

  // Reads the value and the time stamp that may follow it.
  std::optional<double> ReadValue() const {
    const std::vector<absl::string_view> words =
        absl::StrSplit(rest_, absl::ByAnyChar(kBlanks), absl::SkipEmpty());
    double value = 0;
    int64_t time = 0;
    const bool well_formed =
        !words.empty() && words.size() <= 2 &&
        absl::SimpleAtod(words.front(), &value) &&
        (words.size() == 1 || absl::SimpleAtoi(words.back(), &time));
    return well_formed ? std::optional(value) : std::nullopt;
  }

 private:
  absl::string_view Take(size_t length) {
    const absl::string_view taken = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return taken;
  }

  void SkipBlanks() {
    rest_.remove_prefix(
        std::min(rest_.find_first_not_of(kBlanks), rest_.size()));
  }

  // Skips blanks, `character`, and the blanks after it. Returns false if
  // something else comes first.
  bool Skip(char character) {
    SkipBlanks();
    if (rest_.empty() || rest_.front() != character) return false;
    rest_.remove_prefix(1);
    SkipBlanks();
    return true;
  }

  // Reads a text in quotes, in which a backslash escapes itself, a quote and,
  // as \n, a new line.
  std::optional<std::string> ReadQuoted() {
    if (rest_.empty() || rest_.front() != '"') return std::nullopt;
    std::string text;
    for (size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == '"') {
        Take(i + 1);
        SkipBlanks();
        return text;
      }
      if (rest_[i] != '\\') {
        text += rest_[i];
        continue;
      }
      if (++i == rest_.size()) return std::nullopt;
      text += rest_[i] == 'n' ? '\n' : rest_[i];
    }
    return std::nullopt;
  }

  absl::string_view rest_;
};

// Stores the type that a line `# TYPE name type` declares. Other comments say
// nothing that is kept.
void ReadComment(absl::string_view line, Exposition& out) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(line, absl::ByAnyChar(kBlanks), absl::SkipEmpty());
  if (words.size() == 4 && words[0] == "#" && words[1] == "TYPE") {
    out.types[std::string(words[2])] = std::string(words[3]);
  }
}

bool ReadSample(absl::string_view text, Exposition& out) {
  SampleLine line(text);
  std::optional<std::string> name = line.ReadName();
  if (!name.has_value()) return false;
  std::optional<Labels> labels = line.ReadLabels();
  if (!labels.has_value()) return false;
  const std::optional<double> value = line.ReadValue();
  if (!value.has_value()) return false;
  out.samples[*std::move(name)].push_back({*std::move(labels), *value});
  return true;
}

}  // namespace

const std::vector<Sample>& Exposition::Of(const std::string& name) const {
  static const auto& none = *new std::vector<Sample>;
  const auto found = samples.find(name);
  return found == samples.end() ? none : found->second;
}

std::optional<double> Exposition::Value(const std::string& name,
                                        const Labels& labels) const {
  for (const Sample& sample : Of(name)) {
    if (sample.labels == labels) return sample.value;
  }
  return std::nullopt;
}

absl::StatusOr<Exposition> ParseExposition(absl::string_view text) {
  constexpr size_t kQuoted = 40;  // characters of a bad line that are shown
  Exposition exposition;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) continue;
    if (line.front() == '#') {
      ReadComment(line, exposition);
    } else if (!ReadSample(line, exposition)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "line ", number, " is no sample of Prometheus' text format: \"",
          absl::CHexEscape(line.substr(0, kQuoted)),
          line.size() > kQuoted ? "..." : "", "\""));
    }
  }
  return exposition;
}

}  // namespace lossd::cli::watch
