// How many processors this process may use.
#ifndef LOSSD_SERVER_MACHINE_CPUS_H_
#define LOSSD_SERVER_MACHINE_CPUS_H_

#include <string>

namespace lossd::machine {

// A number of processors, at least 1, and where it comes from, for people.
struct Cpus {
  int count = 1;
  std::string reason;
};

// Returns how many threads can run at once: the processors that the scheduler
// may give this thread (sched_getaffinity), or the quota of its control groups
// (cpu.max, or cpu.cfs_quota_us of cgroup 1) if that is less, of which a part
// counts as a whole. Thread-safe.
Cpus UsableCpus();

// Does the same for `affinity` processors and the files below `root`.
Cpus UsableCpus(int affinity, const std::string& root);

}  // namespace lossd::machine

#endif  // LOSSD_SERVER_MACHINE_CPUS_H_
