// The activity of a server as JSON, for scripts.
#ifndef LOSSD_CLIENT_CLI_WATCH_ACTIVITY_JSON_H_
#define LOSSD_CLIENT_CLI_WATCH_ACTIVITY_JSON_H_

#include <nlohmann/json_fwd.hpp>

#include "absl/status/status.h"
#include "client/cli/watch/activity.h"
#include "client/cli/watch/view.h"

namespace lossd::cli::watch {

// Returns one JSON object. Numbers that nothing was counted for are null; rates
// end in _per_second.
nlohmann::ordered_json ActivityJson(const Activity& activity);

// Returns one JSON object with the state "away" and the reason.
nlohmann::ordered_json AbsenceJson(absl::Time time, const absl::Status& status);

// Prints one object a line to standard output, at once.
class JsonLines final : public View {
 public:
  void Show(const Activity& activity) override;
  void ShowAbsence(absl::Time time, const absl::Status& status) override;
};

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_ACTIVITY_JSON_H_
