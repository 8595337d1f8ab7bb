// What was found, as Markdown for people and as JSON for programs.
#ifndef LOSSD_TESTS_JUDGE_REPORT_H_
#define LOSSD_TESTS_JUDGE_REPORT_H_

#include <string>
#include <vector>

#include "tests/judge/enumeration.h"
#include "tests/judge/family.h"
#include "tests/judge/halves.h"
#include "tests/judge/limits.h"
#include "tests/judge/reference_proof.h"

namespace lossd::exhaustive {

struct Report {
  std::string command;  // that makes this report again
  EnumerationOptions options;
  ReferenceErrors reference;
  LimitFindings limits;
  Enumeration enumeration;
  std::vector<FamilyFindings> families;
  HalfFindings halves;
};

// Parts of the texts below.
std::string Ulp(double ulps);
std::string ReferenceLine(const ReferenceErrors& errors);

std::string Markdown(const Report& report);
std::string Json(const Report& report);

// What breaks a bound of ours, a line each; "" if nothing does. The frameworks'
// forms may do as they like.
std::string Broken(const Report& report);

}  // namespace lossd::exhaustive

#endif  // LOSSD_TESTS_JUDGE_REPORT_H_
