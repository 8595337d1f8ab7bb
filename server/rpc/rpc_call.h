// The interface of a call as its RPC thread sees it, with the beginning, the
// admission and the end that all calls share.
#ifndef LOSSD_SERVER_RPC_RPC_CALL_H_
#define LOSSD_SERVER_RPC_RPC_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/admission/admission.h"
#include "server/door/queue_call.h"
#include "server/observability/metrics.h"
#include "server/rpc/call_context.h"
#include "server/tracing/call_trace.h"

namespace lossd::rpc {

// Allocates little but what gRPC allocates, because it is used again and again.
//
// gRPC reports kFinished when the answer is out, and kDone when the RPC is over
// for the client, cancelled or not. After both the RPC has ended. Only then is
// it counted, and only then does the permit go back: until then gRPC has the
// memory of the answer.
class RpcCall : public door::QueueCall {
 public:
  // The events of every call for losses; those of a method follow
  // kFirstOwnEvent.
  enum Event { kFinished = kRequest + 1, kDone, kFirstOwnEvent };

  // Borrows `call_context`.
  RpcCall(observability::Method method, const CallContext* call_context)
      : call_context_(call_context), method_(method) {}

  void Listen() override;
  bool OnEvent(int event, bool ok) override;
  bool ended() const override { return finished_ && done_; }
  // Ends the RPC if its deadline has passed. A client ends it by itself; one
  // that is frozen, or cut off, does not.
  void OnSweep() override;
  // Also counts and logs the RPC.
  void Reset() override;

 protected:
  Tag* request_tag() { return &request_tag_; }
  Tag* finished_tag() { return &finished_tag_; }

  // Finds out what the client may do. Errors: UNAUTHENTICATED if it needs a
  // token and sent none that is known; PERMISSION_DENIED if its token may not
  // ask for losses; INVALID_ARGUMENT if it named its job wrongly, or its
  // flow, which it is trusted to name.
  absl::Status CheckClient();
  // Does so again if the tokens in use have changed, for a stream, which may
  // outlive its client's token.
  absl::Status CheckClientAgain();
  // Returns the number in the metrics of the job that requests of now belong
  // to; 0 if the call names none.
  uint64_t JobNumber() const;
  // Returns a permit for `bytes` at the time `now`. Errors: those of
  // AdmissionController::Admit(), which this method counts. If a budget is
  // full, door::RetryDelayOf() the error is the time after which to try again.
  absl::StatusOr<admission::Permit> TakePermit(int64_t bytes,
                                               absl::Time deadline,
                                               absl::Time now);
  // Takes the permit of the call. Returns the call's answer if it is refused.
  grpc::Status Admit(int64_t bytes, absl::Time now);
  // Takes the permit of the call for `bytes` of `requests` that wait until each
  // is admitted with a permit of its own. Errors: those of TakePermit(); all of
  // the requests are counted as refused. RESOURCE_EXHAUSTED always has a delay:
  // fewer of them may fit, even if so many never do.
  absl::Status AdmitWaiting(int64_t bytes, size_t requests);
  // Returns the answer of Admit() for `bytes` if it would refuse now.
  grpc::Status Foresee(int64_t bytes);
  // Returns the answer to a call that the intake has no place for.
  grpc::Status RefuseForPlaces();
  // Lets calls in that wait, after something was given back.
  void LetOthersIn();
  // Makes the permit stand for `bytes`, which is more than before. Errors are
  // those of Admit().
  grpc::Status ChargeMore(int64_t bytes);

  // Notes the answer that Finish is about to be given, or that takes its place.
  // The client may act on an answer before kFinished, hence the permit is
  // marked as answered before Finish.
  void NoteAnswer(const grpc::Status& answer);
  // Ends the RPC with `answer` at once, beside a write that is stuck.
  void Cancel(const grpc::Status& answer);
  // The status of an RPC that is over for the client, and not by our answer.
  absl::Status GoneStatus() const;

  const CallContext* const call_context_;

  // --- state of one RPC; Begin() and Reset() set it anew ---
  std::optional<grpc::ServerContext> context_;
  absl::Time received_;
  absl::Time deadline_;     // the client's, or the infinite future
  uint64_t flow_ = 0;       // door::FlowOf(), or the flow that the call names
  std::string flow_name_;   // empty if it names none
  bool may_share_ = false;  // CheckClient() found that it may use shared memory
  uint64_t token_generation_ = 0;  // that CheckClient() has seen
  admission::Permit permit_;
  std::unique_ptr<tracing::CallTrace> trace_;  // null unless it is sampled
  bool finished_ = false;                      // kFinished has come
  bool done_ = false;                          // kDone has come

 private:
  // Asks gRPC for an RPC of this method, with request_tag().
  virtual void RequestRpc() = 0;
  // Handles an event after this class has. Returns what OnEvent() returns.
  virtual bool Handle(int event, bool ok) = 0;
  // Gives back what the derived class holds of the RPC, which ended with `code`
  // for its client.
  virtual void Release(absl::StatusCode code) = 0;
  virtual absl::string_view request_id() const = 0;
  // Returns text for the log line, such as " of 5 elements".
  virtual std::string LogDetail() const { return {}; }

  void Begin();
  // Take what the call names, if it names one.
  void TakeNamedFlow();
  void TakeJobName();
  // Returns the time that a request of this call would wait in the queue. The
  // queue is asked only for a deadline.
  absl::Duration ExpectedWait(absl::Time deadline) const;
  // Counts a refusal, and sets its retry delay.
  absl::Status Refuse(absl::Status why, admission::Refusal refusal,
                      int64_t bytes) const;
  // Returns the answer to a call that was refused.
  grpc::Status AnswerTo(const absl::Status& refusal);
  // The code that the client has seen, as far as the server can know.
  absl::StatusCode FinalCode() const;
  void Log(absl::StatusCode code, absl::Duration latency) const;
  void EndTrace(absl::StatusCode code, absl::Time now);
  // Returns the message of the answer, if the client has seen it.
  std::string ReasonOf(absl::StatusCode code) const {
    return code == code_ ? reason_ : std::string();
  }
  // Keeps the message of the answer, if anybody reads it.
  void KeepReason(const grpc::Status& answer);

  const observability::Method method_;
  Tag request_tag_{this, kRequest};
  Tag finished_tag_{this, kFinished};
  Tag done_tag_{this, kDone};

  // --- state of one RPC; Reset() resets it ---
  absl::Status naming_;   // what is wrong with the name of the flow or the job
  std::string job_name_;  // empty if the call names none
  // The code of the answer; written before Finish, read after kFinished.
  absl::StatusCode code_ = absl::StatusCode::kOk;
  std::string peer_;        // Connections::NameOf(), if requests are logged
  std::string reason_;      // the answer's message, as KeepReason() says
  bool sent_ = false;       // the answer reached the transport
  bool cancelled_ = false;  // by Cancel()
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_RPC_CALL_H_
