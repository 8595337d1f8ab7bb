#include "base/completion/zsh.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace lossd::completion {
namespace {

constexpr char kHeader[] =
    "#compdef @program@\n"
    "# Completes @program@ in zsh, without starting a program.\n\n";

constexpr char kAddress[] =
    R"zsh(# Offers the last argument, unix: and, after that, files.
_@program@_address() {
  if compset -P unix:; then
    _files
  else
    compadd "$@"
    compadd -S '' -- unix:
  fi
}

)zsh";

constexpr char kBody[] =
    R"zsh(# Sets reply to what _arguments is told about the flags with these names.
_@program@_flags() {
  local name
  local -A flags=(
@specifications@  )
  reply=()
  for name; do reply+=("$flags[$name]"); done
}

_@program@() {
  local context state state_descr line ret=1
  local curcontext=$curcontext
  local -A opt_args
  local -a reply
  _@program@_flags @flags@
@body@  return ret
}

# A file in $fpath is the function itself at its first call.
if [[ $funcstack[1] == _@program@ ]]; then
  _@program@ "$@"
else
  compdef _@program@ @program@
fi
)zsh";

constexpr char kCommands[] =
    R"zsh(  _arguments -C -A '-*' "$reply[@]" '1:command:->command' '*:: :->operand' && ret=0
  case $state in
    command)
      local -a commands=(
@descriptions@      )
      _describe -t commands command commands && ret=0
      ;;
    operand)
      case $words[1] in
@commands@        *) return ret ;;
      esac
      _arguments "$reply[@]" && ret=0
      ;;
  esac
)zsh";

std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", R"('\'')"}}), "'");
}

// Escapes a text that stands between colons.
std::string BetweenColons(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\\", "\\\\"}, {":", "\\:"}});
}

// Escapes a text that stands in brackets.
std::string InBrackets(absl::string_view text) {
  return absl::StrReplaceAll(text,
                             {{"\\", "\\\\"}, {"[", "\\["}, {"]", "\\]"}});
}

// Returns the action that offers `choices`, or nothing if there are none.
std::string ActionOf(const std::vector<std::string>& choices) {
  if (choices.empty()) return " ";
  return absl::StrCat("(", BetweenColons(absl::StrJoin(choices, " ")), ")");
}

// Returns the action that offers a flag's values.
std::string ActionOf(const FlagValue& value) {
  switch (value.offer) {
    case Offer::kFiles:
      return "_files";
    case Offer::kAddresses:
      return absl::StrCat("_@program@_address ",
                          BetweenColons(absl::StrJoin(value.choices, " ")));
    case Offer::kNothing:
      break;
  }
  return ActionOf(value.choices);
}

// Returns the entries of the spellings of a flag.
std::string SpecificationsOf(const Flag& flag) {
  std::string entries;
  for (const std::string& spelling : SpellingsOf(flag)) {
    const bool is_switch = flag.value.is_switch;
    std::string entry = absl::StrCat("--", spelling, is_switch ? "" : "=", "[",
                                     spelling == flag.name ? "" : "do not ",
                                     InBrackets(Summary(flag.help)), "]");
    if (!is_switch) {
      absl::StrAppend(&entry, ":", flag.name, ":", ActionOf(flag.value));
    }
    absl::StrAppend(&entries, "    ", spelling, " ", Quoted(entry), "\n");
  }
  return entries;
}

// Returns the branch of `case` for a command.
std::string BranchOf(const Command& command) {
  std::string operand;
  if (!command.operand.empty()) {
    operand = absl::StrCat(
        "          reply+=(",
        Quoted(absl::StrCat(
            "1:", BetweenColons(absl::AsciiStrToLower(command.operand)), ":",
            ActionOf(command.choices))),
        ")\n");
  }
  return absl::StrCat("        ", command.name,
                      ")\n          _@program@_flags ",
                      absl::StrJoin(SpellingsOf(command.flags), " "), "\n",
                      operand, "          ;;\n");
}

// Returns the lines that complete what the program's own flags do not cover.
std::string BodyOf(const Program& program) {
  if (program.commands.empty()) {
    return "  _arguments \"$reply[@]\" && ret=0\n";
  }
  std::string descriptions;
  std::string commands;
  for (const Command& command : program.commands) {
    absl::StrAppend(&descriptions, "        ",
                    Quoted(absl::StrCat(command.name, ":", command.help)),
                    "\n");
    absl::StrAppend(&commands, BranchOf(command));
  }
  return absl::StrReplaceAll(
      kCommands, {{"@descriptions@", descriptions}, {"@commands@", commands}});
}

}  // namespace

std::string ZshScript(const Program& program) {
  std::string specifications;
  for (const Flag* flag : FlagsOf(program)) {
    absl::StrAppend(&specifications, SpecificationsOf(*flag));
  }
  const std::string script = absl::StrReplaceAll(
      kBody, {{"@specifications@", specifications},
              {"@flags@", absl::StrJoin(SpellingsOf(program.flags), " ")},
              {"@body@", BodyOf(program)}});
  return absl::StrReplaceAll(
      absl::StrCat(kHeader, HasAddress(program) ? kAddress : "", script),
      {{"@program@", program.name}});
}

}  // namespace lossd::completion
