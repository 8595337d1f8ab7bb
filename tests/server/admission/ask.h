// Asks for a permit as a request without a deadline does.
#ifndef LOSSD_TESTS_SERVER_ADMISSION_ASK_H_
#define LOSSD_TESTS_SERVER_ADMISSION_ASK_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/admission/admission.h"

namespace lossd::admission {

inline absl::StatusOr<Permit> Ask(AdmissionController& controller,
                                  uint64_t flow, int64_t bytes,
                                  Refusal* refusal) {
  return controller.Admit(bytes, flow, absl::InfiniteFuture(),
                          absl::UnixEpoch(), absl::ZeroDuration(), refusal);
}

}  // namespace lossd::admission

#endif  // LOSSD_TESTS_SERVER_ADMISSION_ASK_H_
