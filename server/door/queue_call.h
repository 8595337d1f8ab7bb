// The interface of a call as the thread of its completion queue sees it.
#ifndef LOSSD_SERVER_DOOR_QUEUE_CALL_H_
#define LOSSD_SERVER_DOOR_QUEUE_CALL_H_

#include <cstddef>

namespace lossd::door {

// One RPC at a time, from listening for it to its end. A call is used again and
// again. All of it runs on the thread of the call's completion queue, unless a
// derived class says otherwise.
class QueueCall {
 public:
  // Comes out of the completion queue when an operation of a call has ended.
  // Lives in the call.
  struct Tag {
    QueueCall* call;
    int event;
  };

  // The event of every call that an RPC has come; those of a derived class
  // follow it.
  static constexpr int kRequest = 0;

  QueueCall() = default;
  virtual ~QueueCall() = default;
  QueueCall(const QueueCall&) = delete;
  QueueCall& operator=(const QueueCall&) = delete;

  // Waits for the next RPC. The call is new, or has ended and been reset.
  virtual void Listen() = 0;

  // Handles an event of the call, but a kRequest only if it is ok. Returns true
  // if the batcher was given something: the caller then calls
  // Batcher::RunInline() soon.
  virtual bool OnEvent(int event, bool ok) = 0;

  // Returns true once gRPC has no tag of the call left and nobody else has a
  // part of it.
  virtual bool ended() const = 0;

  // Gives back everything that the RPC, which has ended, held.
  virtual void Reset() = 0;

  // Comes now and then while the call serves an RPC.
  virtual void OnSweep() {}

  // The index of the call's method in the thread's list, and that of the call
  // among those that serve an RPC; set by the thread.
  size_t method_index = 0;
  size_t serving_index = 0;
};

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_QUEUE_CALL_H_
