// The intake: which messages are received now, and which stay with their
// clients.
#ifndef LOSSD_SERVER_ADMISSION_INTAKE_H_
#define LOSSD_SERVER_ADMISSION_INTAKE_H_

#include <atomic>
#include <cstdint>
#include <set>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/admission/call_limit.h"

namespace lossd::admission {

// Acts for a call that waits for its turn. One of the two is called, once, on
// any thread and without a lock.
class MessageReader {
 public:
  virtual ~MessageReader() = default;
  // The message may be received now.
  virtual void OnMayRead() = 0;
  // The call is out of the intake, and `why` is its answer.
  virtual void OnTurnedAway(const absl::Status& why) = 0;
};

// A call from its headers until its answer is out. It lives in the call, which
// sets the first three members before Enter().
struct Arrival {
  MessageReader* reader = nullptr;
  uint64_t flow = 0;  // the client's number
  absl::Time deadline = absl::InfiniteFuture();

 private:
  friend class Intake;
  friend class ArrivalQueue;
  enum class State { kOutside, kWaiting, kReading, kReceived };
  State state_ = State::kOutside;
  bool counted_ = false;  // among those that are read, or that are received
  int64_t expected_ = 0;  // bytes of the budget that it is thought to need
  absl::Duration patience_;
  uint64_t number_ = 0;
  absl::Time entered_;
  absl::Time let_in_;
  absl::Time counted_since_;
  Arrival* before_ = nullptr;
  Arrival* after_ = nullptr;
};

// Arrivals in the order in which they were added; a list through them.
class ArrivalQueue {
 public:
  void Add(Arrival* arrival, absl::Time now);
  void Remove(Arrival* arrival);
  // Returns the oldest if it was added longer ago than its patience, else null.
  Arrival* Stale(absl::Time now) const {
    const bool stale = oldest_ != nullptr &&
                       now - oldest_->counted_since_ >= oldest_->patience_;
    return stale ? oldest_ : nullptr;
  }
  int64_t size() const { return size_; }

 private:
  Arrival* oldest_ = nullptr;
  Arrival* newest_ = nullptr;
  int64_t size_ = 0;
};

struct IntakeOptions {
  // The byte budget of admission.
  int64_t max_inflight_bytes = int64_t{1} << 30;
  // The bytes that messages on their way may be expected to need. With more of
  // them at once each would take longer, and none would arrive sooner.
  int64_t max_reading_bytes = int64_t{256} << 20;
  // Calls that wait or are read, at most.
  int64_t max_calls = 4096;
  // How long an answer should take from the received message on, at most.
  absl::Duration wanted_wait = absl::Milliseconds(50);
  // The first messages are thought to need this much.
  int64_t first_message_bytes = int64_t{256} << 20;
  // A message that takes longer to arrive counts no more, nor does an answer
  // that takes longer to get out, and a call that waits longer is let in beyond
  // the limits once nothing has arrived or got out for as long. So clients that
  // send nothing, or take nothing, hold nobody up. A message whose size is
  // known has a second more for each 8 MiB.
  absl::Duration patience = absl::Seconds(1);
  // Once a call has waited this long, later deadlines go first.
  absl::Duration overload_wait = absl::Milliseconds(50);
};

// Decides when the messages of calls are received (D51). A message that is not
// received stays with its client, held back by HTTP/2's windows, so a call that
// waits here costs little memory, whatever its message's size.
//
// The size of a message is not known before it is here, so each connection's
// calls are expected to need what its largest recent one did, and those of a
// new connection what the largest recent one of all did. Messages are received
// while those that are being received are expected to need at most
// max_reading_bytes, and together with the requests in flight the byte budget.
// Answers that come too late lower the number that is received at once, though
// not below 64, where it begins; answers in time raise it. Connections with the
// fewest expected bytes go first, in turns. Within one the earliest deadline
// does, or under overload the latest: the calls that can still be answered in
// time.
//
// Thread-safe: one mutex, under which nobody is called.
class Intake {
 public:
  enum class Decision { kRead, kWait, kFull, kTooLate };

  explicit Intake(const IntakeOptions& options);

  // Decides about a call that has arrived. kRead: its message may be received
  // now. kWait: its reader is told. kFull: too many calls are here, of this
  // connection or in all. kTooLate: the answer would come after the deadline.
  // The last two leave the call outside. `inflight_bytes` is what admission has
  // given out.
  Decision Enter(Arrival* arrival, int64_t inflight_bytes, absl::Time now);

  // Takes a call out that waits, because its client has gone, and returns true:
  // its reader is not told. Returns false if it has been told.
  bool Remove(Arrival* arrival, absl::Time now);

  // Notes that the message of a call is here.
  void Received(Arrival* arrival, absl::Time now);

  // Ends the stay of a call that was let in: its answer is out. The second and
  // the third learn from it, the second that it needed `bytes` of the budget.
  void Leave(Arrival* arrival, absl::Time now);
  void LeaveAnswered(Arrival* arrival, int64_t bytes, absl::Time now);
  void LeaveLate(Arrival* arrival, absl::Time now);

  // Lets calls in that wait, as far as there is room, and turns those away that
  // are too late (DEADLINE_EXCEEDED). Call it when room has been made, and from
  // time to time.
  void LetIn(int64_t inflight_bytes, absl::Time now);

  // Turns all calls away that wait, because the server drains.
  void TurnAllAway(const absl::Status& why);

  // Returns true if LetIn() has something to decide.
  bool waiting() const { return waiting_.load(std::memory_order_relaxed) > 0; }

  // Returns the bytes of the budget that a call of this flow is expected to
  // need, at least; 0 for a flow that is not known.
  int64_t LeastExpected(uint64_t flow) const;

  // For tests.
  int64_t reading_bytes() const;
  int64_t calls() const;  // that wait or are being received

 private:
  struct ByDeadline {
    bool operator()(const Arrival* a, const Arrival* b) const {
      return std::tie(a->deadline, a->number_) <
             std::tie(b->deadline, b->number_);
    }
  };
  // One connection.
  struct Flow {
    int64_t expected = 0;  // 0 until it has been learnt
    int64_t spent = 0;     // ns from the permission to the answer, on average
    absl::Time learnt;
    int64_t reading_bytes = 0;
    int64_t calls = 0;
    uint64_t turn = 0;  // of those with equal bytes on their way
    std::set<Arrival*, ByDeadline> waiting;
  };
  // The bytes on their way, the turn and the number of a flow.
  using Turn = std::tuple<int64_t, uint64_t, uint64_t>;

  // Sets what a call is thought to need and may take.
  void Expect(Arrival* arrival, const Flow& flow) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Flow& FlowOf(uint64_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasPlace(const Flow& flow) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasRoom(int64_t expected, int64_t inflight_bytes) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Stops to count what has been on its way for too long.
  void Discount(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndWait(Arrival* arrival, Flow& flow) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static bool IsNearlyLate(const Arrival& arrival, absl::Time now);
  void NoteLate(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndReading(Arrival* arrival) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndStay(Arrival* arrival, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StopReading(Arrival* arrival) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsTooLate(const Arrival& arrival, const Flow& flow, absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static Turn TurnOf(uint64_t id, const Flow& flow) {
    return {flow.reading_bytes, flow.turn, id};
  }
  // Changes the bytes on their way, of the flow and of all.
  void AddReading(uint64_t id, Flow& flow, int64_t bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void BeginReading(Arrival* arrival, Flow& flow, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StopWaiting(Arrival* arrival, Flow& flow)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Arrival* Next(const Flow& flow, absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetIdleFlows() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const IntakeOptions options_;
  std::atomic<int64_t> waiting_{0};

  mutable absl::Mutex mu_;
  absl::flat_hash_map<uint64_t, Flow> flows_ ABSL_GUARDED_BY(mu_);
  std::set<Turn> turns_ ABSL_GUARDED_BY(mu_);  // of flows that wait
  int64_t reading_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  // The calls that are being received, and those whose answer is not out yet.
  ArrivalQueue reading_ ABSL_GUARDED_BY(mu_);
  ArrivalQueue received_ ABSL_GUARDED_BY(mu_);
  int64_t calls_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t numbers_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t turn_numbers_ ABSL_GUARDED_BY(mu_) = 0;
  // The largest recent need, of all flows; 0 until one is known.
  int64_t largest_ ABSL_GUARDED_BY(mu_) = 0;
  CallLimit limit_ ABSL_GUARDED_BY(mu_);
  // When a message had arrived, an answer was out, or a call was let in beyond
  // the limits, the last of them.
  absl::Time moved_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace lossd::admission

#endif  // LOSSD_SERVER_ADMISSION_INTAKE_H_
