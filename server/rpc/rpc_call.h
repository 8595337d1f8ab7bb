// What a thread of RPCs knows of the calls that it serves.
#ifndef LOSSD_SERVER_RPC_RPC_CALL_H_
#define LOSSD_SERVER_RPC_RPC_CALL_H_

namespace lossd::rpc {

// One RPC at a time, from listening for it to its end. All is called on the
// thread of the call's completion queue.
class RpcCall {
 public:
  // What comes out of the completion queue: an operation of a call that has
  // ended. Lives in the call.
  struct Tag {
    RpcCall* call;
    int event;  // kRequest, or one of the call's own
  };
  // An RPC has come, or, not ok, none will.
  static constexpr int kRequest = 0;

  virtual ~RpcCall() = default;

  // Waits for the next RPC. The call is new, or has ended and been reset.
  virtual void Listen() = 0;

  // One of its tags, but not a kRequest that is not ok. True: the batcher was
  // given something, and the caller runs Batcher::RunInline() soon.
  virtual bool OnEvent(int event, bool ok) = 0;

  // No tag of it is left in gRPC, and nobody else has a part of it.
  virtual bool ended() const = 0;

  // After ended(): counts the call, gives back everything that it held.
  virtual void Reset() = 0;

  // The thread's: which of its methods the call is of.
  int method = 0;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_RPC_CALL_H_
