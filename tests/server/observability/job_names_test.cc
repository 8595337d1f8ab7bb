#include "server/observability/job_names.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace lossd::observability {
namespace {

constexpr absl::Time kStart = absl::UnixEpoch();

std::map<std::string, uint64_t> Shown(const JobNames& names) {
  std::map<std::string, uint64_t> shown;
  names.Read([&](const std::string& name, uint64_t number) {
    EXPECT_TRUE(shown.emplace(name, number).second) << name;
  });
  return shown;
}

TEST(JobNames, GiveANameOneNumberAndPlace) {
  JobNames names(3);
  const uint64_t a = names.NumberOf("a", kStart);
  const uint64_t b = names.NumberOf("b", kStart);
  EXPECT_NE(a, 0u);
  EXPECT_NE(a, b);
  EXPECT_NE(names.PlaceOf(a), names.PlaceOf(b));
  EXPECT_LT(names.PlaceOf(b), names.places());
  EXPECT_EQ(names.NumberOf("a", kStart + absl::Hours(9)), a);
  EXPECT_EQ(Shown(names),
            (std::map<std::string, uint64_t>{{"a", a}, {"b", b}}));
}

TEST(JobNames, CallFurtherJobsOther) {
  JobNames names(2);
  const uint64_t a = names.NumberOf("a", kStart);
  names.NumberOf("b", kStart);
  const uint64_t c = names.NumberOf("c", kStart);
  EXPECT_EQ(c, names.other());
  EXPECT_EQ(names.NumberOf("d", kStart), c);
  EXPECT_EQ(names.NumberOf("a", kStart), a);
  EXPECT_EQ(Shown(names).at("other"), c);
  EXPECT_EQ(Shown(names).size(), 3u);
  EXPECT_NE(names.PlaceOf(a), names.PlaceOf(c));
}

TEST(JobNames, KeepNoNameWithoutPlaces) {
  JobNames names(0);
  EXPECT_EQ(names.NumberOf("a", kStart), names.other());
  EXPECT_NE(names.other(), 0u);
}

TEST(JobNames, TakeTheNameOtherForWhatItMeans) {
  JobNames names(2);
  EXPECT_EQ(names.NumberOf("other", kStart), names.other());
  EXPECT_EQ(Shown(names).size(), 1u);
}

TEST(JobNames, ForgetTheIdlestNameAfterAnHourIfItsPlaceIsWanted) {
  JobNames names(2);
  const uint64_t a = names.NumberOf("a", kStart);
  const uint64_t b = names.NumberOf("b", kStart + absl::Minutes(1));
  const absl::Time later = kStart + JobNames::kForgetAfter;
  EXPECT_EQ(names.NumberOf("c", later - absl::Nanoseconds(1)), names.other());
  const uint64_t c = names.NumberOf("c", later);
  EXPECT_NE(c, names.other());
  EXPECT_EQ(names.PlaceOf(c), names.PlaceOf(a));
  EXPECT_GT(c, a);
  EXPECT_EQ(names.NumberOf("b", later), b);
  // It comes back to no place, and then to a new number.
  EXPECT_EQ(names.NumberOf("a", later), names.other());
  const uint64_t again = names.NumberOf("a", later + JobNames::kForgetAfter);
  EXPECT_GT(again, c);
  EXPECT_EQ(Shown(names).count("a"), 1u);
}

TEST(JobNames, KeepIdleNamesThatAreInNobodysWay) {
  JobNames names(2);
  const uint64_t a = names.NumberOf("a", kStart);
  names.NumberOf("b", kStart + absl::Hours(100));
  EXPECT_EQ(Shown(names).at("a"), a);
}

TEST(JobNames, NeverGiveANumberTwice) {
  JobNames names(3);
  std::set<uint64_t> numbers;
  absl::Time now = kStart;
  for (int i = 0; i < 100; ++i) {
    now += absl::Hours(1);
    EXPECT_TRUE(
        numbers.insert(names.NumberOf("job" + std::to_string(i), now)).second);
  }
}

}  // namespace
}  // namespace lossd::observability
