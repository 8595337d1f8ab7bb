#include "tests/kernels/element_walk.h"

#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/kernels/loss_curve.h"

namespace lossd::kernels {
namespace {

TEST(ElementWalk, HasTheBitsOfTheKernel) {
  const std::vector<double> logits = LogitsOfEveryExponent<float>(20000);
  for (const float t : {0.0f, 1.0f, 0.3f, 1e-10f}) {
    const LossCurve curve = CurveOfLoss<float>(LossOptions(), logits, t);
    for (size_t i = 0; i < logits.size(); ++i) {
      const LossAndGradient walked = Walk(static_cast<float>(logits[i]), t);
      ASSERT_EQ(std::bit_cast<uint32_t>(walked.loss),
                std::bit_cast<uint32_t>(static_cast<float>(curve.losses[i])))
          << logits[i] << " " << t;
      ASSERT_EQ(std::bit_cast<uint32_t>(walked.gradient),
                std::bit_cast<uint32_t>(static_cast<float>(curve.gradient[i])))
          << logits[i] << " " << t;
    }
  }
}

std::string ContentOf(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ElementWalk, IsTheCodeThatTheReadmeShows) {
  const std::string root = LOSSD_SOURCE_DIR;
  const std::string readme = ContentOf(root + "/kernels/element/README.md");
  if (readme.empty()) GTEST_SKIP() << "the sources are not on this machine";
  const std::string header = ContentOf(root + "/tests/kernels/element_walk.h");
  const size_t begin = header.find("using P =");
  const size_t end = header.find("}  // namespace");
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  EXPECT_NE(
      readme.find("```cpp\n" + header.substr(begin, end - begin - 1) + "```\n"),
      std::string::npos);
}

}  // namespace
}  // namespace lossd::kernels
