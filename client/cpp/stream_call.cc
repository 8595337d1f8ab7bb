#include "client/cpp/stream_call.h"

#include <grpcpp/alarm.h>
#include <grpcpp/generic/generic_stub.h>

#include <optional>

#include "client/cpp/call_status.h"
#include "client/cpp/message/slice_tracker.h"
#include "client/cpp/message/stream_reader.h"
#include "client/cpp/message/stream_writer.h"

namespace lossd::client {
namespace {

constexpr char kStreamLoss[] = "/lossd.v1.LossService/StreamLoss";

// One stream while it runs. A write and a read are under way at once, so that
// the two sides never wait for each other. One thread uses it.
class StreamCall {
 public:
  StreamCall(const Caller& caller, const CallOptions& options,
             StreamWriter& writer, StreamReader& reader)
      : context_(MakeContext(options, caller)),
        writer_(writer),
        reader_(reader) {}

  // Runs the stream to its end and returns its status.
  absl::Status Run(const std::shared_ptr<grpc::Channel>& channel,
                   grpc::CompletionQueue& queue) {
    grpc::GenericStub stub(channel);
    call_ = stub.PrepareCall(context_.get(), kStreamLoss, &queue);
    call_->StartCall(Begin(&started_));
    void* tag = nullptr;
    bool ok = false;
    while (under_way_ > 0 && queue.Next(&tag, &ok)) {
      --under_way_;
      OnTag(tag, ok);
    }
    const absl::Status status = CallStatus(status_, *context_);
    // These hold the call's references to the slices.
    call_.reset();
    context_.reset();
    return broken_.ok() ? status : broken_;
  }

 private:
  // The address of a Tag is the tag of one kind of operation.
  struct Tag {};

  void* Begin(Tag* tag) {
    ++under_way_;
    return tag;
  }

  void OnTag(void* tag, bool ok) {
    if (tag == &started_) {
      if (ok) WriteNext();
      Read();
    } else if (tag == &written_) {
      if (ok) WriteNext();
    } else if (tag == &read_) {
      OnRead(ok);
    }
  }

  void WriteNext() {
    std::optional<grpc::ByteBuffer> message = writer_.Next();
    if (message.has_value()) {
      call_->Write(*message, Begin(&written_));
    } else {
      call_->WritesDone(Begin(&half_closed_));
    }
  }

  void Read() { call_->Read(&message_, Begin(&read_)); }

  void OnRead(bool ok) {
    if (!ok) {
      call_->Finish(&status_, Begin(&finished_));
      return;
    }
    if (broken_.ok()) {
      broken_ = reader_.Add(message_);
      if (!broken_.ok()) context_->TryCancel();
    }
    message_.Clear();
    Read();
  }

  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  StreamWriter& writer_;
  StreamReader& reader_;
  Tag started_, written_, half_closed_, read_, finished_;
  int under_way_ = 0;  // tags that will come out
  grpc::ByteBuffer message_;
  grpc::Status status_;
  absl::Status broken_;  // the error if the server's message is wrong
};

}  // namespace

absl::StatusOr<LossResult> ComputeByStream(
    const std::shared_ptr<grpc::Channel>& channel, const Caller& caller,
    const LossRequest& request, const CallOptions& options) {
  absl::StatusOr<StreamReader> reader =
      StreamReader::Create(request, options.gradient_destination);
  if (!reader.ok()) return reader.status();
  const std::shared_ptr<SliceTracker> tracker = SliceTracker::Make();
  StreamWriter writer(request, options.request_id, *tracker);
  grpc::CompletionQueue queue;
  grpc::Alarm returned;
  const absl::Status status =
      StreamCall(caller, options, writer, *reader).Run(channel, queue);
  // The wait is on the queue, because a message that is still being written
  // needs a thread that polls.
  const bool free = tracker->AllDroppedOrElse(
      [&] { returned.Set(&queue, gpr_time_0(GPR_CLOCK_MONOTONIC), nullptr); });
  void* tag = nullptr;
  bool ok = false;
  if (!free) queue.Next(&tag, &ok);
  queue.Shutdown();
  queue.Next(&tag, &ok);  // a queue is drained before it goes
  if (!status.ok()) return status;
  return reader->Finish();
}

}  // namespace lossd::client
