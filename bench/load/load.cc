#include "bench/load/load.h"

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <limits>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "bench/load/poisson_schedule.h"

namespace lossd::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

// A place for one call in flight.
struct Slot {
  grpc::CompletionQueue* queue = nullptr;
  grpc::GenericStub* stub = nullptr;
  const grpc::ByteBuffer* request = nullptr;
  std::optional<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  grpc::ByteBuffer reply;
  grpc::Status status;
  // The time when the call began, or in an open loop should have begun.
  SteadyClock::time_point start;
};

// Starts a call in `slot`, whose latency and timeout count from `start`.
void StartCall(const LoadOptions& options, Slot& slot,
               SteadyClock::time_point start) {
  slot.start = start;
  slot.context.emplace();
  slot.context->set_deadline(std::chrono::system_clock::now() +
                             absl::ToChronoNanoseconds(options.timeout) -
                             (SteadyClock::now() - start));
  if (!options.traceparent.empty()) {
    slot.context->AddMetadata("traceparent", options.traceparent);
  }
  NameJob(options, *slot.context);
  slot.reader = slot.stub->PrepareUnaryCall(&*slot.context, options.method,
                                            *slot.request, slot.queue);
  slot.reader->StartCall();
  slot.reader->Finish(&slot.reply, &slot.status, &slot);
}

std::string CodeName(grpc::StatusCode code) {
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
}

// A load while it runs. Each lane's thread reads its completion queue. In an
// open loop the thread that called Run() starts the calls.
class Load {
 public:
  explicit Load(const LoadOptions& options)
      : options_(options),
        tickets_(options.requests > 0 ? options.requests
                                      : std::numeric_limits<int64_t>::max()),
        begin_(SteadyClock::now()),
        end_(begin_ + std::chrono::duration_cast<SteadyClock::duration>(
                          absl::ToChronoNanoseconds(options.duration))) {
    for (const auto& channel : options.channels) stubs_.emplace_back(channel);
    for (int i = 0; i < options.threads; ++i) lanes_.emplace_back();
    for (int i = 0; i < options.concurrency; ++i) AddSlot(i);
  }

  // Starts the threads, puts the load on and waits for the last call.
  LoadReport Run() {
    for (Lane& lane : lanes_) {
      lane.thread = std::thread([this, &lane] { ReadQueue(lane); });
    }
    if (options_.rate > 0) {
      StartOnSchedule();
    } else {
      for (Slot& slot : slots_) StartOrRetire(slot);
    }
    AwaitIdle();
    LoadReport report;
    report.unsent = unsent_;
    report.elapsed = absl::FromChrono(SteadyClock::now() - begin_);
    for (Lane& lane : lanes_) {
      lane.queue.Shutdown();
      lane.thread.join();
      Add(lane.report, report);
    }
    return report;
  }

 private:
  // A thread, its queue and its counters, which no other thread touches.
  struct Lane {
    grpc::CompletionQueue queue;
    LoadReport report;
    std::thread thread;
  };

  void AddSlot(int i) {
    Slot& slot = slots_.emplace_back();
    slot.queue = &lanes_[static_cast<size_t>(i) % lanes_.size()].queue;
    slot.stub = &stubs_[static_cast<size_t>(i) % stubs_.size()];
    slot.request =
        &options_.messages[static_cast<size_t>(i) % options_.messages.size()];
    absl::MutexLock lock(&mu_);
    idle_.push_back(&slot);
  }

  // Returns true if one more call may start.
  bool TakeTicket() {
    return SteadyClock::now() < end_ &&
           tickets_.fetch_sub(1, std::memory_order_relaxed) > 0;
  }

  // In a closed loop, starts the next call in the place, or gives the place up.
  void StartOrRetire(Slot& slot) {
    if (TakeTicket()) {
      StartCall(options_, slot, SteadyClock::now());
      return;
    }
    absl::MutexLock lock(&mu_);
    ++retired_;
  }

  // In an open loop, starts all calls on time. A thread paces them, because a
  // completion queue wakes up a millisecond late, which would count as latency.
  void StartOnSchedule() {
    PoissonSchedule schedule(options_.rate, options_.seed);
    while (true) {
      const SteadyClock::time_point intended =
          begin_ + std::chrono::duration_cast<SteadyClock::duration>(
                       absl::ToChronoNanoseconds(schedule.Next()));
      if (intended >= end_) break;
      if (tickets_.fetch_sub(1, std::memory_order_relaxed) <= 0) break;
      std::this_thread::sleep_until(intended);
      if (Slot* slot = TakeIdle(intended); slot != nullptr) {
        StartCall(options_, *slot, intended);
      } else {
        ++unsent_;
      }
    }
  }

  // In an open loop, waits for a place for the arrival of `intended`. Returns
  // null if half of the call's timeout is over first: a generator that falls
  // behind would otherwise send calls that nobody waits for any more, and
  // measure itself.
  Slot* TakeIdle(SteadyClock::time_point intended) {
    const absl::Duration late = absl::FromChrono(SteadyClock::now() - intended);
    const absl::Duration patience = options_.timeout / 2 - late;
    if (patience < absl::ZeroDuration()) return nullptr;
    absl::MutexLock lock(&mu_);
    const bool found = mu_.AwaitWithTimeout(
        absl::Condition(
            +[](Load* load) ABSL_EXCLUSIVE_LOCKS_REQUIRED(load->mu_) {
              return !load->idle_.empty();
            },
            this),
        patience);
    if (!found) return nullptr;
    Slot* slot = idle_.front();
    idle_.pop_front();
    return slot;
  }

  // Returns when no call is in flight and none will start.
  void AwaitIdle() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](Load* load) ABSL_EXCLUSIVE_LOCKS_REQUIRED(load->mu_) {
          const bool open = load->options_.rate > 0;
          const size_t resting = open ? load->idle_.size() : load->retired_;
          return resting == load->slots_.size();
        },
        this));
  }

  // Runs on a lane's thread: records each call that ended, and in a closed loop
  // starts the next.
  void ReadQueue(Lane& lane) {
    void* tag = nullptr;
    bool ok = false;
    while (lane.queue.Next(&tag, &ok)) {
      Slot& slot = *static_cast<Slot*>(tag);
      Record(slot, lane.report);
      slot.reader.reset();
      slot.reply.Clear();
      if (options_.rate > 0) {
        absl::MutexLock lock(&mu_);
        idle_.push_back(&slot);
      } else {
        StartOrRetire(slot);
      }
    }
  }

  void Record(const Slot& slot, LoadReport& report) const {
    if (!slot.status.ok()) {
      ++report.errors[CodeName(slot.status.error_code())];
      return;
    }
    ++report.succeeded;
    report.reply_bytes = static_cast<int64_t>(slot.reply.Length());
    const absl::Duration latency =
        absl::FromChrono(SteadyClock::now() - slot.start);
    report.latency.Record(latency);
    if (latency <= options_.timeout) ++report.in_time;
  }

  static void Add(const LoadReport& part, LoadReport& sum) {
    sum.latency.Merge(part.latency);
    sum.succeeded += part.succeeded;
    sum.in_time += part.in_time;
    sum.reply_bytes = std::max(sum.reply_bytes, part.reply_bytes);
    for (const auto& [code, count] : part.errors) sum.errors[code] += count;
  }

  // These are constant once the load runs. Elements of deques do not move.
  const LoadOptions& options_;
  std::deque<grpc::GenericStub> stubs_;
  std::deque<Lane> lanes_;
  std::deque<Slot> slots_;

  std::atomic<int64_t> tickets_;
  const SteadyClock::time_point begin_;
  const SteadyClock::time_point end_;
  // Only the thread that called Run() touches it.
  int64_t unsent_ = 0;

  absl::Mutex mu_;
  // In an open loop, the places without a call.
  std::deque<Slot*> idle_ ABSL_GUARDED_BY(mu_);
  // In a closed loop, the number of places that start no more calls.
  size_t retired_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace

LoadReport RunLoad(const LoadOptions& options) { return Load(options).Run(); }

absl::StatusOr<std::string> CallOnce(const LoadOptions& options) {
  grpc::CompletionQueue queue;
  grpc::GenericStub stub(options.channels.front());
  Slot slot;
  slot.queue = &queue;
  slot.stub = &stub;
  slot.request = &options.messages.front();
  StartCall(options, slot, SteadyClock::now());
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  queue.Shutdown();
  queue.Next(&tag, &ok);
  grpc::Slice bytes;
  if (slot.status.ok()) slot.status = slot.reply.DumpToSingleSlice(&bytes);
  if (!slot.status.ok()) {
    return absl::Status(static_cast<absl::StatusCode>(slot.status.error_code()),
                        slot.status.error_message());
  }
  return std::string(reinterpret_cast<const char*>(bytes.begin()),
                     bytes.size());
}

}  // namespace lossd::bench
