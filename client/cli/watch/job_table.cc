#include "client/cli/watch/job_table.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/cli/watch/increase.h"

namespace lossd::cli::watch {
namespace {

// Reads how far the counters of one job went up between two scrapes.
class JobIncrease {
 public:
  JobIncrease(const Exposition& earlier, const Exposition& later,
              const std::string& job)
      : earlier_(earlier), later_(later), labels_{{"training_job", job}} {}

  double Of(absl::string_view counter) const {
    const std::string name = absl::StrCat("lossd_job_", counter);
    const auto value = later_.Value(name, labels_);
    return value ? Increase(earlier_, name, {labels_, *value}) : 0;
  }

 private:
  const Exposition& earlier_;
  const Exposition& later_;
  const Labels labels_;
};

std::map<std::string, double> RowOf(const JobIncrease& job, double seconds) {
  const auto rate = [&](absl::string_view counter) {
    return seconds > 0 ? job.Of(counter) / seconds : 0;
  };
  std::map<std::string, double> row = {
      {"requests_per_second", rate("requests_total")},
      {"elements_per_second", rate("elements_total")},
      {"nan_per_second", rate("nan_logits_total")},
  };
  if (const double count = job.Of("loss_count"); count > 0) {
    row["loss"] = (job.Of("loss_sum") - job.Of("negative_loss_total")) / count;
  }
  if (const double count = job.Of("gradient_square_count"); count > 0) {
    row["gradient_norm"] = std::sqrt(job.Of("gradient_square_sum") / count);
  }
  if (const double sampled = job.Of("sampled_elements_total"); sampled > 0) {
    row["positives"] = job.Of("positives_total") / sampled;
    row["saturated"] = job.Of("saturated_total") / sampled;
  }
  return row;
}

}  // namespace

JobTable JobsBetween(const Exposition& earlier, const Exposition& later,
                     double seconds) {
  JobTable jobs;
  for (const Sample& sample : later.Of("lossd_job_requests_total")) {
    const auto name = sample.labels.find("training_job");
    if (name == sample.labels.end()) continue;
    jobs[name->second] =
        RowOf(JobIncrease(earlier, later, name->second), seconds);
  }
  return jobs;
}

}  // namespace lossd::cli::watch
