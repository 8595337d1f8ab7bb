// The entries of a message that were not accepted yet.
#ifndef LOSSD_SERVER_RPC_ENTRY_BACKLOG_H_
#define LOSSD_SERVER_RPC_ENTRY_BACKLOG_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/wire/entry_reader.h"

namespace lossd::rpc {

// Entries wait here as the bytes that they came as. Not thread-safe.
class EntryBacklog {
 public:
  // Takes the entries of a message; empty().
  void Fill(std::vector<wire::Entry> entries, absl::Time arrived);

  bool empty() const { return next_ == entries_.size(); }
  size_t size() const { return entries_.size() - next_; }
  // Returns the memory that the entries hold, which is what they are charged.
  int64_t bytes() const { return bytes_; }
  absl::Time arrived() const { return arrived_; }

  // Takes the oldest entry; !empty().
  wire::Entry Take();

  // Forgets all of the entries but their ids, because they may not wait: their
  // failure is refusal(), which is OK otherwise.
  void Refuse(const absl::Status& why);
  const absl::Status& refusal() const { return refusal_; }

  void Clear();

 private:
  std::vector<wire::Entry> entries_;
  size_t next_ = 0;    // how many of these were taken
  int64_t bytes_ = 0;  // of those that were not
  absl::Time arrived_;
  absl::Status refusal_;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_ENTRY_BACKLOG_H_
