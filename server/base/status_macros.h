// RETURN_IF_ERROR, the way in which a function passes on a callee's error.
#ifndef LOSSD_SERVER_BASE_STATUS_MACROS_H_
#define LOSSD_SERVER_BASE_STATUS_MACROS_H_

// Evaluates `expression`, an absl::Status, once, and returns it from the
// enclosing function if it is not OK. That function returns absl::Status or an
// absl::StatusOr.
#define RETURN_IF_ERROR(expression)                             \
  do {                                                          \
    if (auto lossd_status = (expression); !lossd_status.ok()) { \
      return lossd_status;                                      \
    }                                                           \
  } while (false)

#endif  // LOSSD_SERVER_BASE_STATUS_MACROS_H_
