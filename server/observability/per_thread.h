// Gives every thread that uses an object a part of its own.
#ifndef LOSSD_SERVER_OBSERVABILITY_PER_THREAD_H_
#define LOSSD_SERVER_OBSERVABILITY_PER_THREAD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace lossd::observability {

// Local() gives each thread a shard that no other thread gets while the thread
// lives. A shard and its contents outlive the thread and are given to a later
// thread, so that short-lived threads do not pile up shards.
//
// Thread-safe. Only a thread's first Local() on an object takes the lock.
// Several objects may exist, and an object may be destroyed while threads that
// used it live on.
template <typename Shard>
class PerThread {
 public:
  PerThread() : shards_(std::make_shared<Shards>()) {}

  Shard& Local() {
    if (last_.id == shards_->id) return *last_.shard;
    return Find();
  }

  using List = std::vector<std::unique_ptr<Shard>>;

  // Calls read(const List&) with every shard, those of ended threads too.
  // During the call no thread gets its first shard; threads that have one are
  // not held up.
  template <typename Reader>
  void Read(Reader read) const {
    absl::MutexLock lock(&shards_->mu);
    read(std::as_const(shards_->all));
  }

 private:
  struct Shards {
    // Unlike an address, an id is never used again: a thread that used an
    // object which is gone must not mistake a new object for it.
    const uint64_t id = next_id.fetch_add(1, std::memory_order_relaxed);
    absl::Mutex mu;
    List all ABSL_GUARDED_BY(mu);
    std::vector<Shard*> unused ABSL_GUARDED_BY(mu);  // their threads have ended
  };

  struct Lease {
    std::weak_ptr<Shards> owner;
    uint64_t id;
    Shard* shard;
  };

  // The leases of one thread. They are returned when the thread ends.
  struct Leases {
    ~Leases() {
      last_ = {};
      for (const Lease& lease : all) {
        const std::shared_ptr<Shards> owner = lease.owner.lock();
        if (owner == nullptr) continue;
        absl::MutexLock lock(&owner->mu);
        owner->unused.push_back(lease.shard);
      }
    }
    std::vector<Lease> all;
  };

  // The lease that the thread used last. Most threads only ever use one object.
  struct Last {
    uint64_t id = 0;
    Shard* shard = nullptr;
  };

  Shard& Find() {
    thread_local Leases leases;
    for (const Lease& lease : leases.all) {
      if (lease.id != shards_->id) continue;
      last_ = {lease.id, lease.shard};
      return *lease.shard;
    }
    std::erase_if(leases.all,
                  [](const Lease& lease) { return lease.owner.expired(); });
    Shard* shard = Take();
    leases.all.push_back({shards_, shards_->id, shard});
    last_ = {shards_->id, shard};
    return *shard;
  }

  Shard* Take() {
    absl::MutexLock lock(&shards_->mu);
    if (shards_->unused.empty()) {
      return shards_->all.emplace_back(std::make_unique<Shard>()).get();
    }
    Shard* shard = shards_->unused.back();
    shards_->unused.pop_back();
    return shard;
  }

  static inline std::atomic<uint64_t> next_id{1};
  static inline thread_local constinit Last last_;

  // Shared only while a thread that ends returns its lease.
  const std::shared_ptr<Shards> shards_;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_PER_THREAD_H_
