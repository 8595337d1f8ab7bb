#include "server/rpc/entry_backlog.h"

#include <utility>

namespace lossd::rpc {
namespace {

// An entry costs its place in the list, too, and may have no other bytes.
int64_t BytesOf(const wire::Entry& entry) {
  size_t bytes = sizeof(entry) + entry.timeout.size();
  for (const grpc::Slice& slice : entry.request) bytes += slice.size();
  return static_cast<int64_t>(bytes);
}

}  // namespace

void EntryBacklog::Fill(std::vector<wire::Entry> entries, absl::Time arrived) {
  Clear();
  entries_ = std::move(entries);
  arrived_ = arrived;
  for (const wire::Entry& entry : entries_) bytes_ += BytesOf(entry);
}

wire::Entry EntryBacklog::Take() {
  wire::Entry& entry = entries_[next_++];
  bytes_ -= BytesOf(entry);
  return std::move(entry);
}

void EntryBacklog::Refuse(const absl::Status& why) {
  refusal_ = why;
  bytes_ = 0;
  for (size_t i = next_; i < entries_.size(); ++i) {
    entries_[i] = wire::Entry{.id = entries_[i].id};
    bytes_ += BytesOf(entries_[i]);
  }
}

void EntryBacklog::Clear() {
  entries_ = std::vector<wire::Entry>();
  next_ = 0;
  bytes_ = 0;
  refusal_ = absl::OkStatus();
}

}  // namespace lossd::rpc
