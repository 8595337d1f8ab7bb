#include "base/flag_parser.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace lossd {
namespace {

// One argument that names a flag.
struct Option {
  const Flag* flag = nullptr;
  // Absent where the next argument is the value.
  std::optional<std::string> value;
};

const Flag* FindFlag(const FlagTable& table, absl::string_view name) {
  for (const FlagGroup& group : table) {
    for (const Flag& flag : group.flags) {
      if (flag.name == name) return &flag;
    }
  }
  return nullptr;
}

// Returns the switch that --noNAME turns off, or null.
const Flag* FindNegated(const FlagTable& table, absl::string_view name) {
  if (!absl::ConsumePrefix(&name, "no")) return nullptr;
  const Flag* flag = FindFlag(table, name);
  return flag != nullptr && flag->value.is_switch ? flag : nullptr;
}

bool IsFlag(absl::string_view argument) {
  return argument.size() > 1 && argument.front() == '-';
}

absl::StatusOr<Option> ReadOption(const FlagTable& table,
                                  absl::string_view argument) {
  absl::string_view name = absl::StripPrefix(argument, "-");
  name = absl::StripPrefix(name, "-");
  Option option;
  if (const size_t equals = name.find('='); equals != name.npos) {
    option.value = std::string(name.substr(equals + 1));
    name = name.substr(0, equals);
  }
  if (name == "h") name = "help";
  option.flag = FindFlag(table, name);
  if (option.flag == nullptr && !option.value.has_value()) {
    option.flag = FindNegated(table, name);
    if (option.flag != nullptr) option.value = "false";
  }
  if (option.flag == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown flag --", name, "; see --help"));
  }
  if (option.flag->value.is_switch && !option.value.has_value()) {
    option.value = "true";
  }
  return option;
}

absl::Status Set(const Option& option) {
  absl::Status status = option.flag->value.set(*option.value);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat("--", option.flag->name, status.message()));
}

// The columns of --help.
constexpr size_t kWidth = 80;

// Appends `text` in lines of at most kWidth columns that begin with six spaces.
void AppendWrapped(absl::string_view text, std::string* lines) {
  const std::string indent = "     ";
  std::string line = indent;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    if (line.size() + 1 + word.size() > kWidth && line != indent) {
      absl::StrAppend(lines, line, "\n");
      line = indent;
    }
    absl::StrAppend(&line, " ", word);
  }
  absl::StrAppend(lines, line, "\n");
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseFlags(
    const FlagTable& table, const std::vector<std::string>& arguments) {
  std::vector<std::string> words;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {
      words.insert(words.end(),
                   arguments.begin() + static_cast<ptrdiff_t>(i) + 1,
                   arguments.end());
      break;
    }
    if (!IsFlag(argument)) {
      words.push_back(argument);
      continue;
    }
    absl::StatusOr<Option> option = ReadOption(table, argument);
    if (!option.ok()) return option.status();
    if (!option->value.has_value() && i + 1 < arguments.size()) {
      option->value = arguments[++i];
    }
    if (!option->value.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", option->flag->name, " needs a value"));
    }
    if (absl::Status status = Set(*option); !status.ok()) return status;
  }
  return words;
}

absl::Status ParseFlagsOnly(const FlagTable& table,
                            const std::vector<std::string>& arguments) {
  const auto words = ParseFlags(table, arguments);
  if (!words.ok()) return words.status();
  if (words->empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(words->front(), " is not a flag; see --help"));
}

std::string DescribeFlags(const FlagTable& table) {
  std::string text;
  for (const FlagGroup& group : table) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", group.title, ":\n");
    for (const Flag& flag : group.flags) {
      absl::StrAppend(&text, "  --", flag.name, "=", flag.value.default_text,
                      "\n");
      AppendWrapped(flag.help, &text);
    }
  }
  return text;
}

}  // namespace lossd
