// A place for a test's files.
#ifndef LOSSD_TESTS_TEMPORARY_PATH_H_
#define LOSSD_TESTS_TEMPORARY_PATH_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace lossd {

// A path at which nothing is, and nothing is left: of this process alone, since
// tests run side by side, and a machine has several users.
class TemporaryPath {
 public:
  explicit TemporaryPath(const std::string& name)
      : path_((std::filesystem::path(testing::TempDir()) /
               absl::StrCat("lossd_", getpid(), "_", name))
                  .string()) {
    Remove();
  }
  ~TemporaryPath() { Remove(); }
  TemporaryPath(const TemporaryPath&) = delete;
  TemporaryPath& operator=(const TemporaryPath&) = delete;

  const std::string& string() const { return path_; }

 private:
  void Remove() const {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string path_;
};

}  // namespace lossd

#endif  // LOSSD_TESTS_TEMPORARY_PATH_H_
