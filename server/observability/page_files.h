// The files of the folder page/, which the build puts into the program.
#ifndef LOSSD_SERVER_OBSERVABILITY_PAGE_FILES_H_
#define LOSSD_SERVER_OBSERVABILITY_PAGE_FILES_H_

#include <span>
#include <string_view>

namespace lossd::observability {

struct PageFile {
  std::string_view name;  // without the folder
  std::string_view text;
};

// Returns page/index.html. In it {{health}}, {{health_class}} and {{facts}}
// stand for what the server fills in.
std::string_view IndexPage();

// Returns the files that the page loads: its style and its scripts.
std::span<const PageFile> PageFiles();

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_PAGE_FILES_H_
