// The names of training jobs, as many as there is room for.
#ifndef LOSSD_SERVER_OBSERVABILITY_JOB_NAMES_H_
#define LOSSD_SERVER_OBSERVABILITY_JOB_NAMES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace lossd::observability {

// Gives each job a number. There are `most` places for names; a job that finds
// none is "other". A name that nobody used for kForgetAfter makes way for a new
// one, and for no other reason. It gets a new number if it comes back: then its
// counters begin at 0 again, as after a restart, and nothing counted is taken
// back from another job (D93).
//
// Thread-safe. A lookup holds a lock for a moment.
class JobNames {
 public:
  static constexpr absl::Duration kForgetAfter = absl::Hours(1);
  static constexpr absl::string_view kOther = "other";

  explicit JobNames(size_t most) : most_(most) {}

  // Returns the number of the job that uses its name at `now`; never 0, and
  // never that of a former job.
  uint64_t NumberOf(absl::string_view name, absl::Time now);

  // Every number has one of places() places, and no two of the jobs that
  // Read() shows have the same.
  size_t places() const { return most_ + 1; }
  size_t PlaceOf(uint64_t number) const {
    return static_cast<size_t>(number % places());
  }
  uint64_t other() const { return places() + most_; }

  // Calls visit(name, number) for each job that has a name, and for "other" if
  // it is in use. Meanwhile no job gets a number.
  template <typename Visit>
  void Read(Visit visit) const {
    absl::MutexLock lock(&mu_);
    for (const Job& job : jobs_) visit(job.name, job.number);
    if (has_other_) visit(std::string(kOther), other());
  }

 private:
  struct Job {
    std::string name;
    uint64_t number;
    absl::Time last_used;
  };

  // Returns the place for a new job, or most_ if there is none.
  size_t PlaceForNew(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t most_;
  mutable absl::Mutex mu_;
  std::vector<Job> jobs_ ABSL_GUARDED_BY(mu_);  // by place
  absl::flat_hash_map<std::string, size_t> places_ ABSL_GUARDED_BY(mu_);
  // The numbers of a place are its own plus multiples of places().
  uint64_t lives_ ABSL_GUARDED_BY(mu_) = 0;
  bool has_other_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_JOB_NAMES_H_
