#include "client/cli/result_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

namespace lossd::cli {
namespace {

client::ReceivedTensor TensorOf(const std::vector<float>& values) {
  return {v1::DATA_TYPE_FLOAT32,
          {static_cast<int64_t>(values.size())},
          {grpc::Slice(values.data(), values.size() * sizeof(float))}};
}

TEST(TensorStatisticsTest, AreThoseOfTheElements) {
  client::ReceivedTensor tensor = TensorOf({3, -4, 0, 1});
  const auto statistics = StatisticsOf(tensor);
  ASSERT_TRUE(statistics.ok());
  EXPECT_EQ(statistics->elements, 4);
  EXPECT_EQ(statistics->min, -4);
  EXPECT_EQ(statistics->max, 3);
  EXPECT_EQ(statistics->mean, 0);
  EXPECT_DOUBLE_EQ(statistics->l2, std::sqrt(26.0));
}

TEST(TensorStatisticsTest, CountNaNsAndLeaveThemOut) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  client::ReceivedTensor tensor = TensorOf({nan, 2, nan});
  const auto statistics = StatisticsOf(tensor);
  ASSERT_TRUE(statistics.ok());
  EXPECT_EQ(statistics->nans, 2);
  EXPECT_EQ(statistics->mean, 2);
  client::ReceivedTensor nothing = TensorOf({nan});
  EXPECT_EQ(StatisticsOf(nothing)->max, 0);
}

TEST(ResultTextTest, SaysWhatJsonHasNoNumbersFor) {
  client::LossResult result;
  result.loss = std::numeric_limits<double>::quiet_NaN();
  result.normalizer = -std::numeric_limits<double>::infinity();
  const auto json = ResultJson(result, absl::Microseconds(5));
  ASSERT_TRUE(json.ok());
  EXPECT_EQ((*json)["loss"], "NaN");
  EXPECT_EQ((*json)["normalizer"], "-Infinity");
  EXPECT_EQ((*json)["round_trip_us"], 5.0);
  EXPECT_FALSE(json->contains("gradient"));
}

TEST(ResultTextTest, ElementsHaveTheDigitsOfTheirTypeAndNoMore) {
  client::ReceivedTensor tensor = TensorOf(
      {0.1F, -1e-45F, std::numeric_limits<float>::infinity(), 16777216});
  const auto json = ElementsJson(tensor);
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(json->dump(), R"([0.1,-1e-45,"Infinity",16777216.0])");
  const std::vector<double> values = {0.1, 1.0 / 3};
  client::ReceivedTensor wide(
      v1::DATA_TYPE_FLOAT64, {2},
      {grpc::Slice(values.data(), values.size() * sizeof(double))});
  EXPECT_EQ(ElementsJson(wide)->dump(), "[0.1,0.3333333333333333]");
}

TEST(ResultTextTest, TheTableShowsTheEndsOfALongList) {
  EXPECT_EQ(Table({{"short", {1, 2, 3, 4, 5, 6, 7, 8}}}),
            "short  [1, 2, 3, 4, 5, 6, 7, 8]\n");
  EXPECT_EQ(Table({{"long", {1, 2, 3, 4, 5, 6, 7, "NaN", 9}}}),
            "long  [1, 2, 3, 4, ..., 6, 7, NaN, 9]\n");
}

TEST(ResultTextTest, TheTableHasARowForEachLeaf) {
  EXPECT_EQ(Table({{"loss", 0.5}, {"gradient", {{"min", -1}}}}),
            "loss          0.5\n"
            "gradient.min  -1\n");
}

}  // namespace
}  // namespace lossd::cli
