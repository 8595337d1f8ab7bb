#include "client/cli/npz.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "base/file.h"
#include "tests/temporary_path.h"

namespace lossd::cli {
namespace {

// Writes an archive of one array, "x", and returns its bytes.
std::string Archive(const std::string& path) {
  const std::vector<std::byte> bytes(24, std::byte{7});
  const client::Shape shape({2, 3});
  EXPECT_TRUE(WriteNpz(path, "x", {v1::DATA_TYPE_FLOAT32, shape, bytes}).ok());
  return *ReadFile(path);
}

// Returns the message about a file with these bytes, or nothing.
std::string Message(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
  return std::string(ReadNpz(path, "x").status().message());
}

TEST(NpzTest, AFileThatIsCutOffIsAnErrorUnlessTheArrayIsWhole) {
  const TemporaryPath place("cut.npz");
  const std::string& path = place.string();
  const std::string whole = Archive(path);
  const auto expected = ReadNpz(path, "x");
  ASSERT_TRUE(expected.ok());
  // The record at the end has 22 bytes, of which minizip needs the first few.
  const size_t end = whole.rfind("PK\5\6");
  ASSERT_EQ(end, whole.size() - 22);
  for (size_t size = 0; size < whole.size(); ++size) {
    std::ofstream(path, std::ios::binary) << whole.substr(0, size);
    const auto array = ReadNpz(path, "x");
    EXPECT_FALSE(array.ok() && size < end + 4) << size;
    if (array.ok()) {
      EXPECT_EQ(array->bytes, expected->bytes) << size;
    }
  }
  EXPECT_EQ(Message(path, whole), "");
  EXPECT_EQ(Message(path, ""), "not a .npz file, or its end is cut off");
}

TEST(NpzTest, AByteThatIsChangedIsAnErrorOrChangesNothing) {
  const TemporaryPath place("changed.npz");
  const std::string& path = place.string();
  const std::string whole = Archive(path);
  const auto expected = ReadNpz(path, "x");
  ASSERT_TRUE(expected.ok());
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char flip : {'\x01', '\x40', '\xff'}) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ flip);
      std::ofstream(path, std::ios::binary) << changed;
      const auto array = ReadNpz(path, "x");
      if (!array.ok()) continue;
      EXPECT_EQ(array->shape, expected->shape) << i;
      EXPECT_EQ(array->bytes, expected->bytes) << i;
    }
  }
}

TEST(NpzTest, MistakesAreNamed) {
  const TemporaryPath place("mistakes.npz");
  const std::string& path = place.string();
  std::string data = Archive(path);
  data[data.find("\7\7\7")] = '\6';
  EXPECT_EQ(Message(path, data),
            "the .npz file is damaged: the array's checksum is wrong");
  std::string method = Archive(path);
  const size_t entry = method.find("PK\1\2");
  method[entry + 10] = 12;
  EXPECT_TRUE(absl::StrContains(Message(path, method),
                                "compressed by method 12, which is not read"));
  std::string encrypted = Archive(path);
  encrypted[entry + 8] = 1;
  EXPECT_EQ(Message(path, encrypted), "the array is encrypted");
}

}  // namespace
}  // namespace lossd::cli
