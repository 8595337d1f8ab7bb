// Changes messages record by record of the wire format.
#ifndef LOSSD_TESTS_FUZZ_RECORDS_H_
#define LOSSD_TESTS_FUZZ_RECORDS_H_

#include <string>
#include <string_view>

#include "tests/fuzz/requests.h"

namespace lossd::fuzz {

// Returns the message with one record, its own or one of a tensor within it,
// repeated, removed, moved, split, put into a group, or written longer than it
// must be. The bytes after a broken record stay as they are.
std::string EditedRecords(std::string_view message, Random& random);

}  // namespace lossd::fuzz

#endif  // LOSSD_TESTS_FUZZ_RECORDS_H_
