#include "base/completion/program.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

namespace lossd::completion {

std::vector<const Flag*> FlagsOf(const Program& program) {
  std::vector<const Flag*> flags;
  std::set<absl::string_view> names;
  const auto add = [&](const FlagTable& table) {
    for (const FlagGroup& group : table) {
      for (const Flag& flag : group.flags) {
        if (names.insert(flag.name).second) flags.push_back(&flag);
      }
    }
  };
  add(program.flags);
  for (const Command& command : program.commands) add(command.flags);
  return flags;
}

bool HasAddress(const Program& program) {
  const std::vector<const Flag*> flags = FlagsOf(program);
  return std::any_of(flags.begin(), flags.end(), [](const Flag* flag) {
    return flag->value.offer == Offer::kAddresses;
  });
}

std::vector<std::string> SpellingsOf(const Flag& flag) {
  if (flag.value.is_switch && flag.value.default_text == "true") {
    return {flag.name, absl::StrCat("no", flag.name)};
  }
  return {flag.name};
}

std::vector<std::string> SpellingsOf(const FlagTable& table) {
  std::vector<std::string> all;
  for (const FlagGroup& group : table) {
    for (const Flag& flag : group.flags) {
      for (std::string& spelling : SpellingsOf(flag)) {
        all.push_back(std::move(spelling));
      }
    }
  }
  return all;
}

std::string Summary(absl::string_view help) {
  size_t end = help.size();
  for (const absl::string_view detail : {"; ", ": ", " ("}) {
    end = std::min(end, help.find(detail));
  }
  return std::string(help.substr(0, end));
}

}  // namespace lossd::completion
