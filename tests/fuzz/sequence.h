// Holds a stream's messages in one fuzzer's input.
#ifndef LOSSD_TESTS_FUZZ_SEQUENCE_H_
#define LOSSD_TESTS_FUZZ_SEQUENCE_H_

#include <string>
#include <string_view>
#include <vector>

namespace lossd::fuzz {

// Splits a sequence into its messages. Each has its size in two bytes before
// it, little-endian; the last message may be cut short. Every string of bytes
// is a sequence.
std::vector<std::string_view> Split(std::string_view sequence);

// Makes a sequence of the messages. Messages of more than 65,535 bytes are cut.
std::string Join(const std::vector<std::string>& messages);

// Returns the streams that a search begins with: headers of every kind with
// their chunks, and messages that are odd or out of place.
std::vector<std::string> EverySequence();

}  // namespace lossd::fuzz

#endif  // LOSSD_TESTS_FUZZ_SEQUENCE_H_
