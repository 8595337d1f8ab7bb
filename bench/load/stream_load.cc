#include "bench/load/stream_load.h"

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::bench {
namespace {

constexpr char kStreamLoss[] = "/lossd.v1.LossService/StreamLoss";
// The elements of a chunk, as many as the server computes at a time.
constexpr int64_t kChunkElements = int64_t{1} << 17;

grpc::ByteBuffer BufferOf(const v1::StreamLossRequest& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

absl::StatusOr<v1::StreamLossRequest> ChunkOf(SampleOptions options,
                                              int64_t elements) {
  options.elements = elements;
  absl::StatusOr<v1::ComputeLossRequest> sample = MakeSample(options);
  if (!sample.ok()) return sample.status();
  v1::StreamLossRequest message;
  message.mutable_chunk()->set_logits(sample->logits().data());
  message.mutable_chunk()->set_targets(sample->targets().data());
  return message;
}

// One stream, on the thread that calls Run(). A write and a read are always
// under way.
class OneStream {
 public:
  OneStream(const LoadOptions& options, const StreamMessages& messages,
            const std::shared_ptr<grpc::Channel>& channel)
      : messages_(messages), stub_(channel) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + options.timeout));
    NameJob(options, context_);
  }

  // Runs the stream to its end and returns its status.
  grpc::Status Run() {
    call_ = stub_.PrepareCall(&context_, kStreamLoss, &queue_);
    call_->StartCall(Begin(&started_));
    void* tag = nullptr;
    bool ok = false;
    while (under_way_ > 0 && queue_.Next(&tag, &ok)) {
      --under_way_;
      OnTag(tag, ok);
    }
    queue_.Shutdown();
    queue_.Next(&tag, &ok);
    return status_;
  }

  int64_t reply_bytes() const { return reply_bytes_; }

 private:
  struct Tag {};

  void* Begin(Tag* tag) {
    ++under_way_;
    return tag;
  }

  void OnTag(void* tag, bool ok) {
    if (tag == &started_) {
      call_->Write(messages_.header, Begin(&written_));
      call_->Read(&reply_, Begin(&read_));
    } else if (tag == &written_ && ok) {
      WriteNext();
    } else if (tag == &read_) {
      OnRead(ok);
    }
  }

  void WriteNext() {
    if (sent_ < messages_.chunks) {
      call_->Write(messages_.chunk, Begin(&written_));
    } else if (sent_ == messages_.chunks && messages_.last.Length() > 0) {
      call_->Write(messages_.last, Begin(&written_));
    } else {
      call_->WritesDone(Begin(&half_closed_));
    }
    ++sent_;
  }

  void OnRead(bool ok) {
    if (!ok) {
      call_->Finish(&status_, Begin(&finished_));
      return;
    }
    reply_bytes_ += static_cast<int64_t>(reply_.Length());
    reply_.Clear();
    call_->Read(&reply_, Begin(&read_));
  }

  const StreamMessages& messages_;
  grpc::CompletionQueue queue_;
  grpc::ClientContext context_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  Tag started_, written_, half_closed_, read_, finished_;
  int under_way_ = 0;
  int64_t sent_ = 0;
  int64_t reply_bytes_ = 0;
  grpc::ByteBuffer reply_;
  grpc::Status status_;
};

// Returns true if a reply has the bytes of the results and a few for the
// messages around them.
bool IsReplySize(int64_t bytes, const StreamMessages& messages) {
  return bytes > messages.gradient_bytes &&
         bytes < messages.gradient_bytes + 100 * (messages.chunks + 4);
}

}  // namespace

absl::StatusOr<StreamMessages> MakeStream(const SampleOptions& options) {
  const int64_t whole = std::min(options.elements, kChunkElements);
  absl::StatusOr<v1::StreamLossRequest> chunk = ChunkOf(options, whole);
  if (!chunk.ok()) return chunk.status();
  SampleOptions one = options;
  one.elements = 1;
  absl::StatusOr<v1::ComputeLossRequest> sample = MakeSample(one);
  if (!sample.ok()) return sample.status();
  v1::StreamLossRequest first;
  v1::StreamLossHeader& header = *first.mutable_header();
  *header.mutable_spec() = sample->spec();
  header.add_shape(options.elements);
  header.set_logits_dtype(sample->logits().dtype());
  header.set_targets_dtype(sample->targets().dtype());
  StreamMessages messages;
  messages.header = BufferOf(first);
  messages.chunk = BufferOf(*chunk);
  messages.chunks = options.elements / whole;
  messages.elements = options.elements;
  messages.request_bytes =
      static_cast<int64_t>(messages.header.Length()) +
      messages.chunks * static_cast<int64_t>(messages.chunk.Length());
  if (const int64_t rest = options.elements % whole; rest > 0) {
    absl::StatusOr<v1::StreamLossRequest> last = ChunkOf(options, rest);
    if (!last.ok()) return last.status();
    messages.last = BufferOf(*last);
    messages.request_bytes += static_cast<int64_t>(messages.last.Length());
  }
  SampleOptions gradient = one;
  if (!options.gradient_dtype.empty()) gradient.dtype = options.gradient_dtype;
  messages.gradient_bytes =
      options.elements *
      static_cast<int64_t>(MakeSample(gradient)->logits().data().size());
  return messages;
}

LoadReport RunStreamLoad(const LoadOptions& options,
                         const StreamMessages& messages) {
  std::atomic<int64_t> tickets{options.requests > 0
                                   ? options.requests
                                   : std::numeric_limits<int64_t>::max()};
  const absl::Time begin = absl::Now();
  std::vector<LoadReport> reports(static_cast<size_t>(options.concurrency));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < reports.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto& channel = options.channels[i % options.channels.size()];
      while (absl::Now() < begin + options.duration &&
             tickets.fetch_sub(1) > 0) {
        const absl::Time start = absl::Now();
        OneStream stream(options, messages, channel);
        const grpc::Status status = stream.Run();
        if (!status.ok()) {
          ++reports[i].errors[absl::StatusCodeToString(
              static_cast<absl::StatusCode>(status.error_code()))];
        } else if (!IsReplySize(stream.reply_bytes(), messages)) {
          ++reports[i].errors["WRONG_REPLY"];
        } else {
          ++reports[i].succeeded;
          reports[i].reply_bytes = stream.reply_bytes();
          reports[i].latency.Record(absl::Now() - start);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  LoadReport sum;
  sum.elapsed = absl::Now() - begin;
  for (const LoadReport& report : reports) {
    sum.latency.Merge(report.latency);
    sum.succeeded += report.succeeded;
    sum.reply_bytes = std::max(sum.reply_bytes, report.reply_bytes);
    for (const auto& [code, count] : report.errors) sum.errors[code] += count;
  }
  return sum;
}

}  // namespace lossd::bench
