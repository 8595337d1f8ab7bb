// What was found, as Markdown for people and as JSON for programs.
#ifndef LOSSD_TESTS_EXHAUSTIVE_REPORT_H_
#define LOSSD_TESTS_EXHAUSTIVE_REPORT_H_

#include <string>

#include "tests/exhaustive/enumeration.h"

namespace lossd::exhaustive {

std::string Markdown(const Enumeration& enumeration);

// What breaks a bound of ours, a line each; "" if nothing does.
std::string Broken(const Enumeration& enumeration);

}  // namespace lossd::exhaustive

#endif  // LOSSD_TESTS_EXHAUSTIVE_REPORT_H_
