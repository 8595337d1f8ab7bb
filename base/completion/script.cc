#include "base/completion/script.h"

#include <array>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/completion/bash.h"
#include "base/completion/fish.h"
#include "base/completion/zsh.h"

namespace lossd::completion {
namespace {

struct Shell {
  absl::string_view name;
  std::string (*write)(const Program& program);
};

constexpr std::array kShells = {Shell{"bash", &BashScript},
                                Shell{"zsh", &ZshScript},
                                Shell{"fish", &FishScript}};

const Shell* FindShell(absl::string_view name) {
  for (const Shell& shell : kShells) {
    if (shell.name == name) return &shell;
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> Shells() {
  std::vector<std::string> names;
  names.reserve(kShells.size());
  for (const Shell& shell : kShells) names.emplace_back(shell.name);
  return names;
}

absl::StatusOr<std::string> Script(absl::string_view shell,
                                   const Program& program) {
  if (const Shell* known = FindShell(shell); known != nullptr) {
    return known->write(program);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the shell \"", shell, "\" is none of bash, zsh and fish"));
}

Flag CompletionFlag(std::string* shell) {
  FlagValue value = NameValue(shell, Shells());
  value.set = [shell](absl::string_view text) -> absl::Status {
    if (FindShell(text) == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("=", text, ": must be bash, zsh or fish"));
    }
    *shell = std::string(text);
    return absl::OkStatus();
  };
  return {"completion", value,
          "print a script that completes this program's flags in a shell "
          "(bash, zsh or fish) and exit"};
}

}  // namespace lossd::completion
