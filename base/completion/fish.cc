#include "base/completion/fish.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace lossd::completion {
namespace {

constexpr char kHeader[] =
    "# Completes @program@ in fish, without starting a program.\n\n";

constexpr char kCommands[] =
    R"fish(# Prints the command and its operands, without flags and their values.
function __@program@_words
    set -l waits 0
    for word in (commandline -opc)[2..-1]
        set -l name (string replace -r '^--?' '' -- $word)
        if test $waits = 1
            set waits 0
        else if not string match -q -- '-*' $word
            echo $word
        else if contains -- $name @valued@
            set waits 1
        end
    end
end

# Succeeds if the command is one of the arguments, of which '' is none yet.
function __@program@_command
    set -l words (__@program@_words)
    contains -- "$words[1]" $argv
end

# Succeeds if the operand of one of these commands comes next.
function __@program@_operand
    test (count (__@program@_words)) = 1; and __@program@_command $argv
end

)fish";

constexpr char kAddress[] =
    R"fish(# Prints the arguments, unix: and, after that, files.
function __@program@_address
    string join -- \n $argv unix:
    set -l path (commandline -ct | string replace -r '^.*?unix:' '')
    for file in $path*
        test -d $file; and set file $file/
        echo unix:$file
    end
end

)fish";

std::string Quoted(absl::string_view text) {
  return absl::StrCat(
      "'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

// Returns the options of `complete` for a flag's value.
std::string ValueOptions(const FlagValue& value) {
  const std::string choices = absl::StrJoin(value.choices, " ");
  if (value.is_switch) return "";
  switch (value.offer) {
    case Offer::kFiles:
      return " -r -F";
    case Offer::kAddresses:
      return absl::StrCat(" -x -a '(__@program@_address ", choices, ")'");
    case Offer::kNothing:
      break;
  }
  return choices.empty() ? " -x" : absl::StrCat(" -x -a '", choices, "'");
}

// Returns a call of `complete`. The function __PROGRAM_`function` decides by
// the arguments `commands` where it counts.
std::string Complete(const Program& program, absl::string_view function,
                     const std::vector<std::string>& commands,
                     absl::string_view options) {
  const std::string condition =
      program.commands.empty()
          ? ""
          : absl::StrCat(" -n \"__@program@_", function, " ",
                         absl::StrJoin(commands, " "), "\"");
  return absl::StrCat("complete -c @program@", condition, options, "\n");
}

// Maps the name of each flag to the commands that read it, quoted; '' stands
// for no command.
std::map<std::string, std::vector<std::string>> ReadersOf(
    const Program& program) {
  std::map<std::string, std::vector<std::string>> readers;
  const auto add = [&](const FlagTable& table, const std::string& reader) {
    for (const FlagGroup& group : table) {
      for (const Flag& flag : group.flags) {
        readers[flag.name].push_back(reader);
      }
    }
  };
  add(program.flags, "''");
  for (const Command& command : program.commands) {
    add(command.flags, command.name);
  }
  return readers;
}

std::string FlagLines(const Program& program, const Flag& flag,
                      const std::vector<std::string>& readers) {
  std::string lines;
  for (const std::string& spelling : SpellingsOf(flag)) {
    const std::string summary = absl::StrCat(
        spelling == flag.name ? "" : "do not ", Summary(flag.help));
    absl::StrAppend(&lines, Complete(program, "command", readers,
                                     absl::StrCat(" -l ", spelling,
                                                  ValueOptions(flag.value),
                                                  " -d ", Quoted(summary))));
  }
  return lines;
}

std::string CommandLines(const Program& program, const Command& command) {
  std::string lines = Complete(
      program, "command", {"''"},
      absl::StrCat(" -a ", command.name, " -d ", Quoted(command.help)));
  if (!command.choices.empty()) {
    absl::StrAppend(
        &lines,
        Complete(
            program, "operand", {command.name},
            absl::StrCat(" -a '", absl::StrJoin(command.choices, " "), "'")));
  }
  return lines;
}

}  // namespace

std::string FishScript(const Program& program) {
  std::vector<std::string> valued;
  std::string completions = "complete -c @program@ -f\n";
  const auto readers = ReadersOf(program);
  for (const Flag* flag : FlagsOf(program)) {
    if (!flag->value.is_switch) valued.push_back(flag->name);
    absl::StrAppend(&completions,
                    FlagLines(program, *flag, readers.at(flag->name)));
  }
  for (const Command& command : program.commands) {
    absl::StrAppend(&completions, CommandLines(program, command));
  }
  return absl::StrReplaceAll(
      absl::StrCat(kHeader, program.commands.empty() ? "" : kCommands,
                   HasAddress(program) ? kAddress : "", completions),
      {{"@program@", program.name}, {"@valued@", absl::StrJoin(valued, " ")}});
}

}  // namespace lossd::completion
