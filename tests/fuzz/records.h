// Changes of a message as the records of the wire format that it is made of.
#ifndef LOSSD_TESTS_FUZZ_RECORDS_H_
#define LOSSD_TESTS_FUZZ_RECORDS_H_

#include <string>
#include <string_view>

#include "tests/fuzz/requests.h"

namespace lossd::fuzz {

// The message with a record, of its own or of a tensor within it, repeated,
// removed, moved, split, put into a group, or written longer than need be.
// What is behind a record that is broken is left as it is.
std::string EditedRecords(std::string_view message, Random& random);

}  // namespace lossd::fuzz

#endif  // LOSSD_TESTS_FUZZ_RECORDS_H_
