#include "client/cpp/loan.h"

#include <optional>
#include <vector>

#include "gtest/gtest.h"

namespace lossd::client {
namespace {

TEST(LoanTest, NothingLentIsReturnedAtOnce) {
  auto loan = Loan::Make();
  EXPECT_TRUE(loan->ReturnedOrElse([] { FAIL() << "it runs never"; }));
}

TEST(LoanTest, TheCallbackRunsOnceWhenTheLastReferenceIsDropped) {
  auto loan = Loan::Make();
  const std::vector<std::byte> memory(100);
  std::optional<grpc::Slice> first = loan->Lend(memory);
  std::optional<grpc::Slice> second = loan->Lend(memory);
  std::optional<grpc::Slice> copy = *first;
  int runs = 0;
  EXPECT_FALSE(loan->ReturnedOrElse([&] { ++runs; }));
  first.reset();
  second.reset();
  EXPECT_EQ(runs, 0);
  copy.reset();
  EXPECT_EQ(runs, 1);
}

}  // namespace
}  // namespace lossd::client
