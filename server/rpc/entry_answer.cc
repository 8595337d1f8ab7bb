#include "server/rpc/entry_answer.h"

#include <grpcpp/support/status.h>

#include <optional>
#include <utility>

#include "lossd/v1/loss_service.pb.h"
#include "server/door/retry_delay.h"
#include "server/door/status.h"
#include "server/wire/field_writer.h"
#include "server/wire/wire_format.h"

namespace lossd::rpc {
namespace {

using ProtoEntry = v1::ComputeLossesResponse::Entry;

constexpr uint32_t kEntries = v1::ComputeLossesResponse::kEntriesFieldNumber;

}  // namespace

std::string KeptText(absl::string_view text) {
  constexpr size_t kMostBytes = 1024;
  return std::string(text.substr(0, kMostBytes));
}

wire::SlicedMessage ResponseEntry(uint64_t id, wire::SlicedMessage response) {
  std::string head;  // short enough to need no memory of its own
  wire::FieldWriter fields(&head);
  const size_t size = response.bytes();
  fields.Message(kEntries, size, [&] {
    fields.Varint(ProtoEntry::kIdFieldNumber, id);
    wire::AppendTag({ProtoEntry::kResponseFieldNumber, wire::kLength}, &head);
    wire::AppendVarint(size, &head);
  });
  response.Prepend(head);
  return response;
}

wire::SlicedMessage FailureEntry(uint64_t id, const absl::Status& status,
                                 absl::string_view request_id) {
  const grpc::Status answer = door::ToGrpcStatus(status, request_id);
  const std::optional<absl::Duration> delay = door::RetryDelayOf(status);
  wire::SlicedMessage message;
  wire::FieldWriter fields(&message.tail());
  fields.Message(kEntries, 0, [&] {
    fields.Varint(ProtoEntry::kIdFieldNumber, id);
    fields.Message(ProtoEntry::kFailureFieldNumber, 0, [&] {
      fields.Varint(v1::Failure::kCodeFieldNumber,
                    static_cast<uint64_t>(answer.error_code()));
      fields.Bytes(v1::Failure::kMessageFieldNumber, answer.error_message());
      if (delay) fields.Duration(v1::Failure::kRetryDelayFieldNumber, *delay);
    });
  });
  return message;
}

}  // namespace lossd::rpc
