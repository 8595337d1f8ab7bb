#include "client/cli/watch_command.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/watch/activity_json.h"
#include "client/cli/watch/attention.h"
#include "client/cli/watch/metrics_page.h"
#include "client/cli/watch/plain_lines.h"
#include "client/cli/watch/screen.h"
#include "client/cli/watch/watch.h"

namespace lossd::cli {
namespace {

constexpr absl::Duration kShortest = absl::Milliseconds(100);
constexpr absl::Duration kLongest = absl::Hours(24);
// A person who watches should soon see that a server does not answer.
constexpr absl::Duration kLongestScrape = absl::Seconds(5);

std::unique_ptr<watch::View> MakeView(const WatchFlags& flags,
                                      const std::string& address, bool screen,
                                      bool json) {
  if (json) return std::make_unique<watch::JsonLines>();
  if (!screen) return std::make_unique<watch::PlainLines>();
  return std::make_unique<watch::Screen>(
      absl::StrCat("lossd at ", address, ", every ",
                   absl::FormatDuration(flags.interval), "; q ends this"));
}

}  // namespace

FlagGroup WatchRows(WatchFlags& flags) {
  return {"Watching",
          {{"interval", InRange(&flags.interval, kShortest, kLongest),
            "time between two readings of the metrics, such as 1s"},
           {"count", AtLeast(&flags.count, 0),
            "intervals to show; 0 goes on until Ctrl-C"}}};
}

ExitCode RunWatch(const WatchFlags& flags, const std::string& address,
                  const ConnectionFlags& connection, bool json) {
  absl::StatusOr<std::string> token = ReadToken(connection);
  if (!token.ok()) return ReportUsage(token.status());
  absl::StatusOr<watch::MetricsPage> page =
      watch::MetricsPage::Create(address, *std::move(token));
  if (!page.ok()) return ReportUsage(page.status());
  const bool screen = !json && watch::HasScreen();
  absl::Status status;
  {
    watch::Attention attention(/*keys=*/screen);
    const auto view = MakeView(flags, address, screen, json);
    status = watch::Watch(
        {.interval = flags.interval,
         .count = flags.count,
         .timeout = std::clamp(connection.timeout, absl::Milliseconds(1),
                               kLongestScrape)},
        *page, attention, *view);
  }
  return status.ok() ? ExitCode::kOk : ReportCallFailure(status);
}

}  // namespace lossd::cli
