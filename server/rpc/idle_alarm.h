// Notices that nothing has happened in a call for some time.
#ifndef LOSSD_SERVER_RPC_IDLE_ALARM_H_
#define LOSSD_SERVER_RPC_IDLE_ALARM_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/rpc/rpc_call.h"

namespace lossd::rpc {

// The tag comes out of the queue when nothing has happened for the limit, and
// sometimes before that: the alarm is not moved whenever something happens, but
// looks at the clock when it is due and is set anew. Used by one thread.
class IdleAlarm {  // D26
 public:
  // Borrows `clock` and `queue`. With an infinite limit the tag never comes.
  IdleAlarm(const Clock* clock, absl::Duration limit,
            grpc::CompletionQueue* queue, RpcCall::Tag tag)
      : clock_(clock), limit_(limit), queue_(queue), tag_(tag) {}

  // Begins to watch; !pending().
  void Start();

  // Notes that something has happened.
  void Touch() { last_ = clock_->Now(); }

  // Call when the tag has come. Returns true if nothing has happened for the
  // limit and nothing excuses that. Watches on in either case.
  bool OnTag(bool excused = false);

  // Lets a pending tag come soon. Call Drop() for that one instead of OnTag().
  void Cancel();
  void Drop() { pending_ = false; }

  // Returns true if the tag is still to come.
  bool pending() const { return pending_; }
  absl::Duration limit() const { return limit_; }

 private:
  void Set();

  const Clock* const clock_;
  const absl::Duration limit_;
  grpc::CompletionQueue* const queue_;
  RpcCall::Tag tag_;
  grpc::Alarm alarm_;
  absl::Time last_;
  bool pending_ = false;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_IDLE_ALARM_H_
