// Deficit round robin as arithmetic: no tasks, no containers, no time.
//
// Service goes in rounds. Each round credits every waiting flow with one
// quantum, and a flow has its turn in the first round in which its savings pay
// for its first task; it is served as long as they do. So flows that always
// have something waiting are served alike, whatever the sizes of their
// requests, to within a quantum and one request. A round in which a flow cannot
// pay yet is computed, not lived through: that keeps a huge request from
// costing a loop.
#ifndef LOSSD_SERVER_BATCHING_DEFICIT_H_
#define LOSSD_SERVER_BATCHING_DEFICIT_H_

#include <cstdint>

namespace lossd::batching {

// What a flow has saved by the time a round begins, its quantum of that round
// included.
struct Savings {
  int64_t elements = 0;
  uint64_t round = 0;
};

// What a task costs its flow: its elements, rounded up to whole blocks. Reading
// and answering a small request takes about as long as computing a block, so
// many small requests do not go for less than they cost.
int64_t ChargeOf(uint64_t element_count);

// The first round, not before that of the savings, in which they pay for
// `charge`.
uint64_t RoundOfTurn(const Savings& savings, int64_t charge, int64_t quantum);

// The savings once `charge` was paid in `round`, which is RoundOfTurn() or a
// later one. A flow saves for its next task (`next_charge`) and no more than
// that or a quantum: what it saved for one that was cancelled is lost.
Savings AfterPaying(const Savings& savings, uint64_t round, int64_t charge,
                    int64_t next_charge, int64_t quantum);

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_DEFICIT_H_
