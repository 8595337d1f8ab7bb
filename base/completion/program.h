// A program's command line as a shell may complete it.
#ifndef LOSSD_BASE_COMPLETION_PROGRAM_H_
#define LOSSD_BASE_COMPLETION_PROGRAM_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/flag_table.h"

namespace lossd::completion {

// One of the words that say what a program does: the `info` of `lossctl info`.
struct Command {
  std::string name;
  // Says in a phrase what the command does.
  std::string help;
  // The flags that the command reads.
  FlagTable flags;
  // The word that may follow the command, such as HOST:PORT; empty if none may.
  std::string operand;
  // The words that a shell offers for it, of the characters of
  // FlagValue::choices.
  std::vector<std::string> choices;
};

struct Program {
  // Letters, digits and underscores.
  std::string name;
  // The flags that are offered before a command, or in place of one.
  FlagTable flags;
  // Empty for a program that takes flags alone.
  std::vector<Command> commands;
};

// Returns the flags of the program and of its commands, each name once. They
// point into `program`.
std::vector<const Flag*> FlagsOf(const Program& program);

// Returns whether a flag takes an address.
bool HasAddress(const Program& program);

// Returns the spellings of a flag without its dashes and value. A switch that
// is on by default has two: `gradient` and `nogradient`.
std::vector<std::string> SpellingsOf(const Flag& flag);

// Returns the spellings of all flags of `table`.
std::vector<std::string> SpellingsOf(const FlagTable& table);

// Returns the beginning of a help text, up to the first detail, for a list in
// which each flag has one line.
std::string Summary(absl::string_view help);

}  // namespace lossd::completion

#endif  // LOSSD_BASE_COMPLETION_PROGRAM_H_
