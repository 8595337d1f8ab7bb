// How the memory that the process may use is divided.
#ifndef LOSSD_SERVER_MEMORY_PLAN_H_
#define LOSSD_SERVER_MEMORY_PLAN_H_

#include <cstdint>

namespace lossd {

// The parts of one budget (D51). All are bytes but `inflight_requests`.
struct MemoryPlan {
  // Admission's budgets.
  int64_t inflight_bytes = 0;
  int64_t inflight_requests = 0;
  // The largest message.
  int64_t message_bytes = 0;
  // The most that a client can send of a message before it is let in.
  int64_t waiting_bytes = 0;
};

// Returns a plan whose TotalBytes() is at most `usable`, if `usable` is at
// least 128 MiB. With less it is the plan for that much.
MemoryPlan PlanMemory(int64_t usable);

// Returns what gRPC may hold: messages that are admitted or on their way, and
// of each waiting call what it can send. At four fifths of this gRPC begins to
// take smaller pieces; beyond all of it it resets calls and connections, and
// neither happens while the intake's expectations hold.
int64_t TransportBytes(const MemoryPlan& plan);

// Returns the most that the process takes: its own, what gRPC may hold, and
// the results and copies of admitted requests.
int64_t TotalBytes(const MemoryPlan& plan);

// Returns how much freed memory each heap of the C library may keep.
int64_t KeptHeapBytes(int64_t usable);

}  // namespace lossd

#endif  // LOSSD_SERVER_MEMORY_PLAN_H_
