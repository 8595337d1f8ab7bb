#include "base/flag_parser.h"

#include <algorithm>
#include <optional>

#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "base/number.h"

namespace lossd {
namespace {

// One argument that begins with two dashes.
struct Option {
  absl::CommandLineFlag* flag = nullptr;
  std::optional<std::string> value;
};

// Finds the flag. The value stays absent where the next argument is to give it.
absl::StatusOr<Option> ReadOption(absl::string_view argument) {
  const absl::string_view text = absl::StripPrefix(argument, "--");
  const size_t equals = text.find('=');
  const absl::string_view name = text.substr(0, equals);
  Option option;
  option.flag = absl::FindCommandLineFlag(name);
  if (equals != absl::string_view::npos) {
    option.value = std::string(text.substr(equals + 1));
  }
  if (option.flag == nullptr && absl::StartsWith(name, "no")) {
    option.flag = absl::FindCommandLineFlag(absl::StripPrefix(name, "no"));
    const bool negation = option.flag != nullptr &&
                          option.flag->IsOfType<bool>() && !option.value;
    if (!negation) option.flag = nullptr;
    option.value = "false";
  }
  if (option.flag == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", name, ": no such flag"));
  }
  if (!option.value && option.flag->IsOfType<bool>()) option.value = "true";
  return option;
}

// Of a number that Abseil has read as infinity.
bool IsTooLarge(const Option& option) {
  if (const auto read = option.flag->TryGet<double>()) {
    return IsBeyondFloat64(*option.value, *read);
  }
  const auto read = option.flag->TryGet<std::optional<double>>();
  return read && *read && IsBeyondFloat64(*option.value, **read);
}

// What values a flag has; Abseil only says that one is illegal.
absl::string_view Domain(const absl::CommandLineFlag& flag) {
  if (flag.IsOfType<absl::Duration>()) {
    return "a number with a unit, such as 500ms or 5s";
  }
  if (flag.IsOfType<bool>()) return "true or false";
  const bool real =
      flag.IsOfType<double>() || flag.IsOfType<std::optional<double>>();
  return real ? "a number" : "a whole number of 64 bits";
}

absl::Status Set(const Option& option) {
  std::string error;
  if (option.flag->ParseFrom(*option.value, &error)) {
    if (!IsTooLarge(option)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("--", option.flag->Name(), "=", *option.value,
                     ": is too large for float64"));
  }
  return absl::InvalidArgumentError(absl::StrCat("--", option.flag->Name(), "=",
                                                 *option.value, ": must be ",
                                                 Domain(*option.flag)));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseFlags(
    std::span<const char* const> arguments) {
  std::vector<std::string> rest;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const absl::string_view argument = arguments[i];
    if (argument == "--") {
      rest.insert(rest.end(), arguments.begin() + i + 1, arguments.end());
      break;
    }
    if (!absl::StartsWith(argument, "--")) {
      rest.emplace_back(argument);
      continue;
    }
    absl::StatusOr<Option> option = ReadOption(argument);
    if (!option.ok()) return option.status();
    if (!option->value && i + 1 < arguments.size()) {
      option->value = arguments[++i];
    }
    if (!option->value) {
      return absl::InvalidArgumentError(absl::StrCat(argument, ": no value"));
    }
    if (absl::Status status = Set(*option); !status.ok()) return status;
  }
  return rest;
}

std::string DescribeFlags() {
  std::vector<absl::CommandLineFlag*> flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (absl::StrContains(flag->Filename(), "client/")) flags.push_back(flag);
  }
  std::sort(flags.begin(), flags.end(),
            [](const auto* a, const auto* b) { return a->Name() < b->Name(); });
  std::string text;
  for (const absl::CommandLineFlag* flag : flags) {
    absl::StrAppendFormat(&text, "  --%s=%s\n      %s\n", flag->Name(),
                          flag->DefaultValue(), flag->Help());
  }
  return text;
}

absl::Status CheckRanges(std::initializer_list<FlagRange> ranges) {
  for (const auto& [flag, value, least, most] : ranges) {
    if (value >= least && value <= most) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "--", flag, "=", value, ": must be in [", least, ", ", most, "]"));
  }
  return absl::OkStatus();
}

}  // namespace lossd
