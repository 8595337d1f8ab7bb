#include "server/door/authenticator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/temporary_path.h"

namespace lossd::door {
namespace {

using absl::StatusCode;

class TokensOfAFile : public testing::Test {
 protected:
  void Write(const std::string& text) { std::ofstream(path_.string()) << text; }

  std::unique_ptr<Authenticator> Loaded() {
    auto loaded = Authenticator::Load(path_.string());
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return *std::move(loaded);
  }

  const TemporaryPath path_{"tokens"};
};

StatusCode CodeFor(const Authenticator& authenticator,
                   const std::string& authorization) {
  return authenticator.PermissionsOf(absl::string_view(authorization))
      .status()
      .code();
}

bool Accepts(const Authenticator& authenticator, const std::string& token) {
  return CodeFor(authenticator, "Bearer " + token) == StatusCode::kOk;
}

TEST(Authenticator, WithoutAFileEveryoneMayDoEverything) {
  const auto open = Authenticator::Load("");
  ASSERT_TRUE(open.ok());
  EXPECT_TRUE((*open)->is_open());
  EXPECT_EQ(*(*open)->PermissionsOf(std::nullopt), Permissions::All());
}

TEST_F(TokensOfAFile, AreAcceptedAndNothingElse) {
  Write("alpha\nbeta\n");
  const auto authenticator = Loaded();
  EXPECT_FALSE(authenticator->is_open());
  EXPECT_TRUE(Accepts(*authenticator, "alpha"));
  EXPECT_TRUE(Accepts(*authenticator, "beta"));
  for (const char* other : {"", "alph", "alphaa", "Alpha", "gamma", "alpha "}) {
    EXPECT_FALSE(Accepts(*authenticator, other)) << other;
  }
  EXPECT_EQ(CodeFor(*authenticator, "bearer alpha"), StatusCode::kOk);
  for (const char* other :
       {"", "alpha", "Bearer", "Basic alpha", "Bearer  alpha"}) {
    EXPECT_EQ(CodeFor(*authenticator, other), StatusCode::kUnauthenticated);
  }
  EXPECT_EQ(authenticator->PermissionsOf(std::nullopt).status().code(),
            StatusCode::kUnauthenticated);
}

TEST_F(TokensOfAFile, MayDoWhatTheirLinesSayTogether) {
  Write("a allow=compute\nb\na allow=admin\n");
  const auto authenticator = Loaded();
  const auto granted =
      authenticator->PermissionsOf(absl::string_view("Bearer a"));
  ASSERT_TRUE(granted.ok());
  EXPECT_TRUE(Require(Permission::kCompute, *granted).ok());
  EXPECT_TRUE(Require(Permission::kAdmin, *granted).ok());
  const absl::Status denied = Require(Permission::kSharedMemory, *granted);
  EXPECT_EQ(denied.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(std::string(denied.message()),
            "authorization: the token may not use shared_memory");
}

TEST_F(TokensOfAFile, AreReplacedAtOnceIfSomebodyAsks) {
  Write("old\nkept\n");
  const auto authenticator = Loaded();
  Write("kept\nnew\n");
  authenticator->Reread(/*at_once=*/true);
  EXPECT_FALSE(Accepts(*authenticator, "old"));
  EXPECT_TRUE(Accepts(*authenticator, "kept"));
  EXPECT_TRUE(Accepts(*authenticator, "new"));
}

// The file may be in the middle of being written.
TEST_F(TokensOfAFile, AreReplacedWhenTwoReadingsAgree) {
  Write("old\n");
  const auto authenticator = Loaded();
  Write("a-long-tok");
  authenticator->Reread(/*at_once=*/false);
  EXPECT_FALSE(Accepts(*authenticator, "a-long-tok"));
  Write("a-long-token\n");
  authenticator->Reread(/*at_once=*/false);
  EXPECT_FALSE(Accepts(*authenticator, "a-long-token"));
  EXPECT_TRUE(Accepts(*authenticator, "old"));
  authenticator->Reread(/*at_once=*/false);
  EXPECT_TRUE(Accepts(*authenticator, "a-long-token"));
  EXPECT_FALSE(Accepts(*authenticator, "old"));
}

TEST_F(TokensOfAFile, NewPermissionsOfAnOldTokenAreTaken) {
  Write("t allow=compute\n");
  const auto authenticator = Loaded();
  Write("t allow=admin\n");
  authenticator->Reread(/*at_once=*/true);
  const auto granted =
      authenticator->PermissionsOf(absl::string_view("Bearer t"));
  ASSERT_TRUE(granted.ok());
  EXPECT_FALSE(granted->Has(Permission::kCompute));
  EXPECT_TRUE(granted->Has(Permission::kAdmin));
}

TEST_F(TokensOfAFile, StayWhileTheFileIsNotFitForUse) {
  Write("old\n");
  const auto authenticator = Loaded();
  EXPECT_TRUE(authenticator->file_is_good());
  for (const char* bad : {"", "t allow=everything\n", "\xff\n"}) {
    Write(bad);
    authenticator->Reread(/*at_once=*/true);
    EXPECT_FALSE(authenticator->file_is_good());
    EXPECT_TRUE(Accepts(*authenticator, "old"));
    EXPECT_FALSE(authenticator->is_open());
  }
  Write("new\n");
  authenticator->Reread(/*at_once=*/true);
  EXPECT_TRUE(authenticator->file_is_good());
  EXPECT_FALSE(Accepts(*authenticator, "old"));
}

}  // namespace
}  // namespace lossd::door
