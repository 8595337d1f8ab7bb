#include "bench/load/load.h"

#include <atomic>
#include <chrono>
#include <deque>
#include <limits>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "bench/load/poisson_schedule.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"

namespace lossd::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

// One place for a call in flight.
struct Slot {
  grpc::CompletionQueue* queue = nullptr;
  grpc::GenericStub* stub = nullptr;
  const grpc::ByteBuffer* request = nullptr;
  std::optional<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  grpc::ByteBuffer reply;
  grpc::Status status;
  // When it began, or in an open loop when it should have.
  SteadyClock::time_point start;
};

// Starts a call in `slot`, whose latency counts from `start`.
void StartCall(const LoadOptions& options, Slot& slot,
               SteadyClock::time_point start) {
  slot.start = start;
  slot.context.emplace();
  slot.context->set_deadline(std::chrono::system_clock::now() +
                             absl::ToChronoNanoseconds(options.timeout));
  slot.reader = slot.stub->PrepareUnaryCall(&*slot.context, options.method,
                                            *slot.request, slot.queue);
  slot.reader->StartCall();
  slot.reader->Finish(&slot.reply, &slot.status, &slot);
}

std::string CodeName(grpc::StatusCode code) {
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
}

// A load while it runs. The lanes' threads read their completion queues; in an
// open loop this thread starts the calls.
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

  // Starts the threads, puts the load on, waits for the last call.
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
    report.elapsed = absl::FromChrono(SteadyClock::now() - begin_);
    for (Lane& lane : lanes_) {
      lane.queue.Shutdown();
      lane.thread.join();
      Add(lane.report, report);
    }
    return report;
  }

 private:
  // A thread, its queue, and what it has seen: no two threads share a counter.
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

  // True: one more call may start.
  bool TakeTicket() {
    return SteadyClock::now() < end_ &&
           tickets_.fetch_sub(1, std::memory_order_relaxed) > 0;
  }

  // Closed loop: the place is used again at once, or given up.
  void StartOrRetire(Slot& slot) {
    if (TakeTicket()) {
      StartCall(options_, slot, SteadyClock::now());
      return;
    }
    absl::MutexLock lock(&mu_);
    ++retired_;
  }

  // Open loop. A thread of its own paces it, because a completion queue wakes
  // up to the millisecond only, which would be measured as latency.
  void StartOnSchedule() {
    PoissonSchedule schedule(options_.rate, options_.seed);
    while (true) {
      const SteadyClock::time_point intended =
          begin_ + std::chrono::duration_cast<SteadyClock::duration>(
                       absl::ToChronoNanoseconds(schedule.Next()));
      if (intended >= end_) break;
      if (tickets_.fetch_sub(1, std::memory_order_relaxed) <= 0) break;
      std::this_thread::sleep_until(intended);
      StartCall(options_, *TakeIdle(), intended);
    }
  }

  // Open loop: waits for a place. The wait counts: the latency is from the
  // intended start.
  Slot* TakeIdle() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](Load* load) ABSL_EXCLUSIVE_LOCKS_REQUIRED(load->mu_) {
          return !load->idle_.empty();
        },
        this));
    Slot* slot = idle_.front();
    idle_.pop_front();
    return slot;
  }

  // Returns when no call is in flight, and none will start.
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

  // A lane's thread: records what ended, and in a closed loop starts the next.
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

  static void Record(const Slot& slot, LoadReport& report) {
    if (!slot.status.ok()) {
      ++report.errors[CodeName(slot.status.error_code())];
      return;
    }
    ++report.succeeded;
    report.reply_bytes = static_cast<int64_t>(slot.reply.Length());
    report.latency.Record(absl::FromChrono(SteadyClock::now() - slot.start));
  }

  static void Add(const LoadReport& part, LoadReport& sum) {
    sum.latency.Merge(part.latency);
    sum.succeeded += part.succeeded;
    sum.reply_bytes = std::max(sum.reply_bytes, part.reply_bytes);
    for (const auto& [code, count] : part.errors) sum.errors[code] += count;
  }

  // Constant once the load runs. Deques, because their elements do not move.
  const LoadOptions& options_;
  std::deque<grpc::GenericStub> stubs_;
  std::deque<Lane> lanes_;
  std::deque<Slot> slots_;

  std::atomic<int64_t> tickets_;
  const SteadyClock::time_point begin_;
  const SteadyClock::time_point end_;

  absl::Mutex mu_;
  // Open loop: places without a call.
  std::deque<Slot*> idle_ ABSL_GUARDED_BY(mu_);
  // Closed loop: places that start no more calls.
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
