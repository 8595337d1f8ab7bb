// A program's flags as the rows of a table. A row is the only place that names
// a flag: it says where the value goes, which values there are, and what --help
// prints.
#ifndef LOSSD_BASE_FLAG_TABLE_H_
#define LOSSD_BASE_FLAG_TABLE_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lossd {

// The files or addresses that a shell offers for a value while it is typed.
enum class Offer {
  kNothing,
  kFiles,
  // HOST:PORT, or unix: and the path of a socket.
  kAddresses,
};

// The place of a flag's value, and the values that it may have. The errors of
// both functions are INVALID_ARGUMENT, with the part of a message that follows
// the flag's name: "=0: must be in [1, 64]".
struct FlagValue {
  // Stores the value that `text` stands for.
  std::function<absl::Status(absl::string_view text)> set;
  // Checks the stored value. This is a step of its own because a value that a
  // later argument replaces is never checked.
  std::function<absl::Status()> check;
  // The value when the row was made, as text.
  std::string default_text;
  // True for a flag that may stand alone (--name) or be negated (--noname).
  bool is_switch = false;
  // Names that a shell offers; `set` decides what is valid. They consist of
  // letters, digits and the characters ._:- alone, which no shell expands.
  std::vector<std::string> choices = {};
  Offer offer = Offer::kNothing;
};

struct Flag {
  std::string name;
  FlagValue value;
  // Says what the flag does, in which unit, to a reader who sees only this.
  std::string help;
};

struct FlagGroup {
  std::string title;
  std::vector<Flag> flags;
};

using FlagTable = std::vector<FlagGroup>;  // D5

// Each takes a pointer to the value, which is borrowed and holds the default.
// T is std::string, bool, int, int64_t, uint64_t, double, absl::Duration, or
// std::optional of int64_t or double. Texts are read as Abseil's flags read
// them, but a number beyond float64 is an error.
template <typename T>
FlagValue AnyValue(T* value);

template <typename T>
FlagValue InRange(T* value, std::type_identity_t<T> least,
                  std::type_identity_t<T> most);

template <typename T>
FlagValue AtLeast(T* value, std::type_identity_t<T> least) {
  return InRange(value, least, std::numeric_limits<T>::max());
}

// A text for which a shell offers `choices`; any other is stored as well.
FlagValue NameValue(std::string* name, std::vector<std::string> choices);

// A text for which a shell offers files; any other is stored as well.
FlagValue PathValue(std::string* path);

// A text for which a shell offers its default and Unix sockets; any other is
// stored as well.
FlagValue AddressValue(std::string* address);

// A traceparent of W3C Trace Context, or empty.
FlagValue TraceparentValue(std::string* traceparent);

// Returns INVALID_ARGUMENT for a value outside [least, most]; the message names
// the flag. For limits that depend on other flags.
absl::Status CheckInRange(absl::string_view flag, int64_t value, int64_t least,
                          int64_t most);

// Returns the error of the first row whose value is not one of its values; the
// message begins with the flag.
absl::Status CheckValues(const FlagTable& table);

}  // namespace lossd

#endif  // LOSSD_BASE_FLAG_TABLE_H_
