#include "server/environment.h"

#include <unistd.h>

#include <regex>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/config.h"
#include "server/config_table.h"

namespace lossd {
namespace {

std::set<std::string> FlagVariables() {
  Config config;
  std::set<std::string> names = {"LOSSD_FLAGFILE"};
  for (const FlagGroup& group : ConfigTable(config)) {
    for (const Flag& flag : group.flags) {
      names.insert(absl::StrCat("LOSSD_", absl::AsciiStrToUpper(flag.name)));
    }
  }
  return names;
}

bool IsOfKubernetes(const std::string& name) {
  static const std::regex& form = *new std::regex(
      "LOSSD_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT|"
      "PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)");
  return std::regex_match(name, form);
}

}  // namespace

std::vector<std::string> VariableNames() {
  std::vector<std::string> names;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string entry = *variable;
    names.push_back(entry.substr(0, entry.find('=')));
  }
  return names;
}

std::vector<std::string> UnknownVariables(
    const std::vector<std::string>& names) {
  const std::set<std::string> flags = FlagVariables();
  std::vector<std::string> unknown;
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, "LOSSD_")) continue;
    if (flags.count(name) == 0 && !IsOfKubernetes(name)) {
      unknown.push_back(name);
    }
  }
  return unknown;
}

}  // namespace lossd
