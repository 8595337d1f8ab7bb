#include "client/cli/watch/increase.h"

#include "absl/strings/str_cat.h"

namespace lossd::cli::watch {

double Increase(const Exposition& earlier, const std::string& name,
                const Sample& later) {
  const double before = earlier.Value(name, later.labels).value_or(0);
  return later.value >= before ? later.value - before : later.value;
}

std::string TextOf(const Labels& labels) {
  std::string text;
  for (auto label = labels.rbegin(); label != labels.rend(); ++label) {
    absl::StrAppend(&text, text.empty() ? "" : " ", label->second);
  }
  return text;
}

}  // namespace lossd::cli::watch
