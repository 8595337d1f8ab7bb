#include "base/flag_table.h"

#include <optional>
#include <utility>

#include "absl/flags/marshalling.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/number.h"
#include "base/trace_context.h"

namespace lossd {
namespace {

// Returns the form of a value of type T, for an error message.
template <typename T>
absl::string_view FormOf() {
  if constexpr (std::is_same_v<T, absl::Duration>) {
    return "a number with a unit, such as 200us or 5s";
  } else if constexpr (std::is_same_v<T, bool>) {
    return "true or false";
  } else if constexpr (std::is_same_v<T, double> ||
                       std::is_same_v<T, std::optional<double>>) {
    return "a number";
  } else if constexpr (std::is_same_v<T, int>) {
    return "a whole number of 32 bits";
  } else {
    return "a whole number of 64 bits";
  }
}

// Returns true if `text` is a finite number that was read as infinity.
template <typename T>
bool IsTooLarge(absl::string_view text, const T& value) {
  if constexpr (std::is_same_v<T, double>) {
    return IsBeyondFloat64(text, value);
  } else if constexpr (std::is_same_v<T, std::optional<double>>) {
    return value.has_value() && IsBeyondFloat64(text, *value);
  } else {
    return false;
  }
}

absl::Status Bad(absl::string_view text, absl::string_view rule) {
  return absl::InvalidArgumentError(absl::StrCat("=", text, ": ", rule));
}

template <typename T>
absl::Status SetValue(absl::string_view text, T* value) {
  T read;
  std::string error;
  if (!absl::ParseFlag(text, &read, &error)) {
    return Bad(text, absl::StrCat("must be ", FormOf<T>()));
  }
  if (IsTooLarge(text, read)) return Bad(text, "is too large for float64");
  *value = std::move(read);
  return absl::OkStatus();
}

std::string TextOf(absl::Duration value) { return absl::FormatDuration(value); }

template <typename T>
std::string TextOf(const T& value) {
  return absl::UnparseFlag(value);
}

template <typename T>
absl::Status CheckLimits(T value, T least, T most) {
  if (value >= least && value <= most) return absl::OkStatus();
  const bool open_ended = most == std::numeric_limits<T>::max();
  std::string rule = open_ended
                         ? absl::StrCat("must be at least ", TextOf(least))
                         : absl::StrCat("must be in [", TextOf(least), ", ",
                                        TextOf(most), "]");
  if constexpr (std::is_same_v<T, absl::Duration>) {
    absl::StrAppend(&rule, ", such as 200us or 5s");
  }
  return Bad(TextOf(value), rule);
}

absl::Status Named(absl::string_view flag, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat("--", flag, status.message()));
}

}  // namespace

template <typename T>
FlagValue AnyValue(T* value) {
  return {
      .set = [value](absl::string_view text) { return SetValue(text, value); },
      .check = [] { return absl::OkStatus(); },
      .default_text = TextOf(*value),
      .is_switch = std::is_same_v<T, bool>,
      .choices = std::is_same_v<T, bool>
                     ? std::vector<std::string>{"true", "false"}
                     : std::vector<std::string>{}};
}

template <typename T>
FlagValue InRange(T* value, std::type_identity_t<T> least,
                  std::type_identity_t<T> most) {
  FlagValue row = AnyValue(value);
  row.check = [value, least, most] { return CheckLimits(*value, least, most); };
  return row;
}

template FlagValue AnyValue(std::string*);
template FlagValue AnyValue(bool*);
template FlagValue AnyValue(int*);
template FlagValue AnyValue(int64_t*);
template FlagValue AnyValue(uint64_t*);
template FlagValue AnyValue(double*);
template FlagValue AnyValue(absl::Duration*);
template FlagValue AnyValue(std::optional<int64_t>*);
template FlagValue AnyValue(std::optional<double>*);
template FlagValue InRange(int*, int, int);
template FlagValue InRange(int64_t*, int64_t, int64_t);
template FlagValue InRange(double*, double, double);
template FlagValue InRange(absl::Duration*, absl::Duration, absl::Duration);

FlagValue NameValue(std::string* name, std::vector<std::string> choices) {
  FlagValue row = AnyValue(name);
  row.choices = std::move(choices);
  return row;
}

FlagValue PathValue(std::string* path) {
  FlagValue row = AnyValue(path);
  row.offer = Offer::kFiles;
  return row;
}

FlagValue AddressValue(std::string* address) {
  FlagValue row = NameValue(address, {*address});
  row.offer = Offer::kAddresses;
  return row;
}

FlagValue TraceparentValue(std::string* traceparent) {
  FlagValue row = AnyValue(traceparent);
  row.check = [traceparent] {
    if (traceparent->empty() ||
        tracing::ParseTraceparent(*traceparent).has_value()) {
      return absl::OkStatus();
    }
    return Bad(*traceparent,
               "must be a traceparent of W3C Trace Context, such as "
               "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  };
  return row;
}

absl::Status CheckInRange(absl::string_view flag, int64_t value, int64_t least,
                          int64_t most) {
  return Named(flag, CheckLimits(value, least, most));
}

absl::Status CheckValues(const FlagTable& table) {
  for (const FlagGroup& group : table) {
    for (const Flag& flag : group.flags) {
      absl::Status status = Named(flag.name, flag.value.check());
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace lossd
