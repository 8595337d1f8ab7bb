// Notices that a call has come to rest.
#ifndef LOSSD_SERVER_RPC_IDLE_ALARM_H_
#define LOSSD_SERVER_RPC_IDLE_ALARM_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/rpc/rpc_call.h"

namespace lossd::rpc {

// Its tag comes out of the queue some time after nothing has happened for the
// limit, and at times before that: the alarm is not moved whenever something
// happens, but looks at the clock when it is due and is set anew. One thread's.
class IdleAlarm {  // D26
 public:
  // Borrows `clock` and `queue`. An infinite limit: the tag never comes.
  IdleAlarm(const Clock* clock, absl::Duration limit,
            grpc::CompletionQueue* queue, RpcCall::Tag tag)
      : clock_(clock), limit_(limit), queue_(queue), tag_(tag) {}

  // Begins to watch. The tag is not out.
  void Start();

  // Something has happened.
  void Touch() { last_ = clock_->Now(); }

  // The tag has come. True: nothing has happened for the limit, and nothing
  // excuses that. Either way it is on again.
  bool OnTag(bool excused = false);

  // The tag comes soon, if it is out; Drop() is for that one.
  void Cancel();
  void Drop() { out_ = false; }

  // The tag is still to come.
  bool out() const { return out_; }
  absl::Duration limit() const { return limit_; }

 private:
  void Set();

  const Clock* const clock_;
  const absl::Duration limit_;
  grpc::CompletionQueue* const queue_;
  RpcCall::Tag tag_;
  grpc::Alarm alarm_;
  absl::Time last_;
  bool out_ = false;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_IDLE_ALARM_H_
