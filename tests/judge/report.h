// The findings, as Markdown for people and as JSON for programs.
#ifndef LOSSD_TESTS_JUDGE_REPORT_H_
#define LOSSD_TESTS_JUDGE_REPORT_H_

#include <string>
#include <vector>

#include "tests/judge/enumeration.h"
#include "tests/judge/families.h"
#include "tests/judge/float8s.h"
#include "tests/judge/halves.h"
#include "tests/judge/mpfr_judge.h"
#include "tests/judge/row_sums.h"

namespace lossd::judge {

struct Report {
  std::string command;  // makes this report again
  EnumerationOptions options;
  ReferenceErrors reference;
  LimitFindings limits;
  Enumeration enumeration;
  std::vector<FamilyFindings> families;
  HalfFindings halves;
  Float8Findings float8s;
  RowFindings rows;
};

std::string Markdown(const Report& report);
std::string Json(const Report& report);

// Returns one line for each finding that breaks a bound of ours, or "". The
// frameworks' forms have no bounds.
std::string Broken(const Report& report);

}  // namespace lossd::judge

#endif  // LOSSD_TESTS_JUDGE_REPORT_H_
