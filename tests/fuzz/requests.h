// Makes the requests that a search begins with, and changes requests.
#ifndef LOSSD_TESTS_FUZZ_REQUESTS_H_
#define LOSSD_TESTS_FUZZ_REQUESTS_H_

#include <random>
#include <string>
#include <vector>

#include "lossd/v1/loss_service.pb.h"

namespace lossd::fuzz {

using Random = std::minstd_rand;

// Returns valid requests of every kind: each dtype and storage of each tensor,
// each loss, reduction and normalizer, broadcasting, empty tensors, rank 0.
std::vector<v1::ComputeLossRequest> EveryKind();

// Returns the bytes of messages that protobuf may read but no writer writes:
// repeated and split tensors, groups, overlong varints, broken ends.
std::vector<std::string> OddMessages();

// Changes one thing: a field of the spec, a dtype, a dimension, a storage.
void Edit(v1::ComputeLossRequest& request, Random& random);

// Gives targets the logits' shape and every tensor as many bytes or values as
// its shape and dtype ask for, so that edits do not end at the first check.
// Does nothing for tensors of more than a few thousand elements.
void Fit(v1::ComputeLossRequest& request, Random& random);

}  // namespace lossd::fuzz

#endif  // LOSSD_TESTS_FUZZ_REQUESTS_H_
