// The flags of lossbench.
#ifndef LOSSD_BENCH_LOAD_FLAGS_H_
#define LOSSD_BENCH_LOAD_FLAGS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/flag_table.h"
#include "bench/load/sample_request.h"

namespace lossd::bench {

// The values of the flags.
struct Flags {
  std::string target = "localhost:50051";
  int64_t channels = 1;
  absl::Duration timeout = absl::Seconds(30);
  std::string peer;
  std::string traceparent;
  std::string shared_memory;
  bool device_memory = false;

  SampleOptions sample;
  bool stream = false;
  bool session = false;

  int64_t concurrency = 1;
  double rate = 0;
  int64_t threads = 1;
  absl::Duration duration = absl::Seconds(5);
  absl::Duration warmup = absl::Seconds(1);
  int64_t requests = 0;
  std::string job;

  bool json = false;
  std::string shell;
  bool help = false;
};

// Returns the table by which flags are parsed into `flags`, which it borrows.
FlagTable TableOf(Flags& flags);

// Checks the limits that depend on several flags. Returns INVALID_ARGUMENT with
// a flag's name.
absl::Status CheckTogether(const Flags& flags);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_FLAGS_H_
