// Counters between two scrapes.
#ifndef LOSSD_CLIENT_CLI_WATCH_INCREASE_H_
#define LOSSD_CLIENT_CLI_WATCH_INCREASE_H_

#include <string>

#include "client/cli/watch/exposition.h"

namespace lossd::cli::watch {

// Returns how far a counter, NAME with the labels of `later`, went up since
// `earlier`. A counter that was not there began at 0, and so did one that went
// down, because its process was another.
double Increase(const Exposition& earlier, const std::string& name,
                const Sample& later);

// Returns the values of labels with a blank between them, in the order of the
// labels' names from last to first, which for {dtype, loss} is "LOSS DTYPE".
std::string TextOf(const Labels& labels);

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_INCREASE_H_
