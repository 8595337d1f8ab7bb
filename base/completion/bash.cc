#include "base/completion/bash.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace lossd::completion {
namespace {

// Readline completes what follows the last = or : and replaces that part alone,
// so answers are cut to it. Files are left to readline itself, which quotes
// their names.
constexpr char kTemplate[] =
    R"bash(# Completes @program@ in bash, without starting a program.

# Sets words to those before the cursor. Bash splits them at = and : as well.
__@program@_words() {
  local rest=${COMP_LINE:0:COMP_POINT} start piece
  words=()
  for piece in "${COMP_WORDS[@]:0:COMP_CWORD + 1}"; do
    start=${rest#"${rest%%[![:space:]]*}"}
    piece=${start:0:${#piece}}
    if [[ ${#words[@]} -gt 0 && $start == "$rest" &&
      ($piece == [=:]* || ${words[-1]} == *[=:]) ]]; then
      words[-1]+=$piece
    else
      words+=("$piece")
    fi
    rest=${start:${#piece}}
  done
}

# Sets flag to the flag that waits for its value, command, and the number of operands.
__@program@_context() { # WORD...
  local word name
  flag='' command='' operands=0
  for word in "$@"; do
    if [[ -n $flag ]]; then
      flag=''
    elif [[ $word == -*=* ]]; then
      continue
    elif [[ $word == -?* ]]; then
      name=${word#-}
      name=${name#-}
      [[ ' @valued@ ' == *" $name "* ]] && flag=$name
    elif [[ -z $command ]]; then
      command=$word
    else
      operands=$((operands + 1))
    fi
  done
}

# Sets offered to the values of a flag. Fails where readline has to offer files.
__@program@_values() { # FLAG VALUE
  case $1 in
@values@  esac
}

# Sets offered to the flags of a command.
__@program@_flags() { # COMMAND
  case $1 in
@flags@  esac
}

# Sets offered to the commands, or to the operands of one.
__@program@_operands() { # COMMAND NUMBER
  case $1,$2 in
@operands@  esac
}

_@program@() {
  local words flag command operands offered='' lead=''
  __@program@_words
  __@program@_context "${words[@]:1:${#words[@]} - 2}"
  local current=${words[-1]//[\"\']/}
  local value=$current
  if [[ -z $flag && $current == -*=* ]]; then
    lead=${current%%=*}=
    value=${current#*=}
    flag=${lead%=}
    flag=${flag#-}
    flag=${flag#-}
  fi
  COMPREPLY=()
  if [[ -n $flag ]]; then
    __@program@_values "$flag" "$value" || { compopt -o default; return 0; }
  elif [[ ${words[-2]} == *[\<\>] ]]; then
    compopt -o default
  elif [[ $current == -* ]]; then
    __@program@_flags "$command"
  else
    __@program@_operands "$command" "$operands"
  fi
  mapfile -t COMPREPLY < <(compgen -P "$lead" -W "$offered" -- "$value")
  local before=${current%"$2"}
  COMPREPLY=("${COMPREPLY[@]#"$before"}")
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace
  return 0
}

complete -F _@program@ @program@
)bash";

// Returns a branch of `case` that sets `offered`.
std::string Offering(absl::string_view pattern,
                     const std::vector<std::string>& words) {
  return absl::StrCat("    ", pattern, ") offered='", absl::StrJoin(words, " "),
                      "' ;;\n");
}

// Returns the branch for the values of a flag, or nothing if it has none.
std::string ValuesOf(const Flag& flag) {
  const std::vector<std::string>& choices = flag.value.choices;
  switch (flag.value.offer) {
    case Offer::kFiles:
      return absl::StrCat("    ", flag.name, ") return 1 ;;\n");
    case Offer::kAddresses:
      return absl::StrCat("    ", flag.name, ")\n",
                          "      [[ $2 != unix:* ]] || return 1\n",
                          "      offered='", absl::StrJoin(choices, " "),
                          " unix:'\n      ;;\n");
    case Offer::kNothing:
      break;
  }
  return choices.empty() ? "" : Offering(flag.name, choices);
}

// Returns the flags of `table` as they are typed.
std::vector<std::string> Typed(const FlagTable& table) {
  std::vector<std::string> typed;
  for (const FlagGroup& group : table) {
    for (const Flag& flag : group.flags) {
      for (const std::string& spelling : SpellingsOf(flag)) {
        typed.push_back(
            absl::StrCat("--", spelling, flag.value.is_switch ? "" : "="));
      }
    }
  }
  return typed;
}

}  // namespace

std::string BashScript(const Program& program) {
  std::vector<std::string> valued;
  std::string values;
  for (const Flag* flag : FlagsOf(program)) {
    if (!flag->value.is_switch) valued.push_back(flag->name);
    absl::StrAppend(&values, ValuesOf(*flag));
  }
  std::vector<std::string> commands;
  std::string flags = Offering("''", Typed(program.flags));
  std::string operands;
  for (const Command& command : program.commands) {
    commands.push_back(command.name);
    absl::StrAppend(&flags, Offering(command.name, Typed(command.flags)));
    if (command.choices.empty()) continue;
    absl::StrAppend(
        &operands, Offering(absl::StrCat(command.name, ",0"), command.choices));
  }
  return absl::StrReplaceAll(
      kTemplate,
      {{"@program@", program.name},
       {"@valued@", absl::StrJoin(valued, " ")},
       {"@values@", values},
       {"@flags@", flags},
       {"@operands@", absl::StrCat(Offering(",0", commands), operands)}});
}

}  // namespace lossd::completion
