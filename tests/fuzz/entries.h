// Makes and changes messages of a ComputeLosses stream.
#ifndef LOSSD_TESTS_FUZZ_ENTRIES_H_
#define LOSSD_TESTS_FUZZ_ENTRIES_H_

#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/requests.h"

namespace lossd::fuzz {

// Returns the messages that a search begins with: entries of every kind, and
// entries that are odd, without an id, twice there or merged.
std::vector<std::string> EveryEntries();

// Returns the message with an entry, or what stands between the entries,
// changed. The bytes need not be a message.
std::string EditedEntries(std::string_view message, Random& random);

}  // namespace lossd::fuzz

#endif  // LOSSD_TESTS_FUZZ_ENTRIES_H_
