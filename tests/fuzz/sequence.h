// A stream's messages as one fuzzer's input.
#ifndef LOSSD_TESTS_FUZZ_SEQUENCE_H_
#define LOSSD_TESTS_FUZZ_SEQUENCE_H_

#include <string>
#include <string_view>
#include <vector>

namespace lossd::fuzz {

// Each message has its size in two bytes before it, little-endian; the last may
// be cut short. Every string of bytes is a sequence.
std::vector<std::string_view> Split(std::string_view sequence);

// Messages of up to 65535 bytes; longer ones are cut.
std::string Join(const std::vector<std::string>& messages);

// Streams to begin a search from: headers of every kind with their chunks, and
// messages that are odd or out of place.
std::vector<std::string> EverySequence();

}  // namespace lossd::fuzz

#endif  // LOSSD_TESTS_FUZZ_SEQUENCE_H_
