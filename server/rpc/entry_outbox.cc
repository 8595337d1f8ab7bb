#include "server/rpc/entry_outbox.h"

#include <algorithm>
#include <utility>

namespace lossd::rpc {
namespace {

constexpr size_t kMaxReservedBytes = size_t{64} << 10;

}  // namespace

void EntryOutbox::Add(EntryAnswer answer) {
  answer.permit.MarkAnswered();
  ready_.push_back(std::move(answer));
}

grpc::ByteBuffer EntryOutbox::NextMessage() {
  wire::SlicedMessage bytes;
  size_t bytes_ready = 0;
  for (const EntryAnswer& answer : ready_) bytes_ready += answer.bytes.bytes();
  bytes.Reserve(std::min(bytes_ready, kMaxReservedBytes));
  do {
    bytes.Append(std::move(ready_.front().bytes));
    message_.push_back(std::move(ready_.front()));
    ready_.pop_front();
  } while (!ready_.empty() &&
           bytes.bytes() + ready_.front().bytes.bytes() <= kFullMessageBytes);
  return progress_.Watch(bytes.Finish());
}

std::deque<EntryAnswer> EntryOutbox::TakeReady() {
  return std::exchange(ready_, {});
}

}  // namespace lossd::rpc
