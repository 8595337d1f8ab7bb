// Deficit round robin as arithmetic, without tasks, containers or time (D31).
//
// Service goes in rounds. Each round credits every waiting flow with one
// quantum. A flow has its turn in the first round in which its savings pay for
// its first task, and is served as long as they pay. So flows that always have
// tasks waiting are served equally, whatever the sizes of their requests, to
// within a quantum and one request. The round of a turn is computed, not found
// by a loop: a huge request costs no more steps than a small one.
//
// All functions are pure and thread-safe.
#ifndef LOSSD_SERVER_BATCHING_DEFICIT_H_
#define LOSSD_SERVER_BATCHING_DEFICIT_H_

#include <cstdint>

namespace lossd::batching {

// The elements that a flow has saved when a round begins, its quantum for that
// round included.
struct Savings {
  int64_t elements = 0;
  uint64_t round = 0;
};

// Returns what a task costs its flow: its elements, rounded up to whole blocks.
// Reading and answering a small request takes about as long as computing a
// block, so many small requests are charged what they cost.
int64_t ChargeOf(uint64_t element_count);

// Returns the first round, from that of the savings on, in which they pay for
// `charge`.
uint64_t RoundOfTurn(const Savings& savings, int64_t charge, int64_t quantum);

// Returns the savings after `charge` was paid in `round`, which is
// RoundOfTurn() or a later round. A flow keeps at most what its next task costs
// (`next_charge`), or a quantum if that is more: it loses what it saved for a
// task that was cancelled.
Savings AfterPaying(const Savings& savings, uint64_t round, int64_t charge,
                    int64_t next_charge, int64_t quantum);

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_DEFICIT_H_
