#include "base/file.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace lossd {
namespace {

// A file of the test's temporary folder, which is removed at the end.
class TestFile {
 public:
  explicit TestFile(const std::string& content)
      : path_(testing::TempDir() + "file_test_" + std::to_string(getpid())) {
    std::FILE* const file = std::fopen(path_.c_str(), "wb");
    std::fwrite(content.data(), 1, content.size(), file);
    std::fclose(file);
  }
  ~TestFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

std::string Letters(size_t size) {
  std::string letters(size, ' ');
  for (size_t k = 0; k < size; ++k)
    letters[k] = static_cast<char>('a' + k % 23);
  return letters;
}

TEST(File, IsReadWholeWhateverItsSize) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{65535}, size_t{65536},
                            size_t{65537}, size_t{200000}}) {
    const TestFile file(Letters(size));
    const auto content = ReadFile(file.path());
    ASSERT_TRUE(content.ok()) << content.status();
    EXPECT_EQ(*content, Letters(size));
  }
}

TEST(File, ThatIsNoFileIsAnErrorWithItsName) {
  const std::string folder = testing::TempDir();
  EXPECT_EQ(ReadFile(folder).status().code(),
            absl::StatusCode::kInvalidArgument);
  const absl::Status status = ReadFile(folder + "/none/there").status();
  EXPECT_NE(status.message().find("none/there"), std::string::npos) << status;
}

// Scrapes read files on a thread of the metrics server, whose stack has 100 KiB
// with all thread-local variables of the program in it; CUDA has 8 KiB of them.
TEST(File, NeedsLittleOfItsThreadsStack) {
  const TestFile file(Letters(100000));
  std::string path = file.path();
  const auto read = [](void* argument) -> void* {
    std::string& in_out = *static_cast<std::string*>(argument);
    in_out = ReadFile(in_out).value_or("");
    return nullptr;
  };
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  constexpr size_t kStack = size_t{64} << 10;
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, kStack), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &attributes, read, &path), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
  EXPECT_EQ(path, Letters(100000));
}

}  // namespace
}  // namespace lossd
