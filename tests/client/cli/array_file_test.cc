#include "client/cli/array_file.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/temporary_path.h"

namespace lossd::cli {
namespace {

TEST(ArrayFileTest, NamesSayFormatPathAndArray) {
  const auto expect = [](const char* text, FileFormat format, const char* path,
                         const char* array) {
    const std::optional<ArrayFileName> name = ParseArrayFileName(text);
    ASSERT_TRUE(name.has_value()) << text;
    EXPECT_EQ(name->format, format) << text;
    EXPECT_EQ(name->path, path) << text;
    EXPECT_EQ(name->array, array) << text;
  };
  expect("a/x.npy", FileFormat::kNpy, "a/x.npy", "");
  expect("a:b.npy", FileFormat::kNpy, "a:b.npy", "");
  expect("x.npz", FileFormat::kNpz, "x.npz", "");
  expect("x.npz:a", FileFormat::kNpz, "x.npz", "a");
  expect("x.npz:a:b.npz:c", FileFormat::kNpz, "x.npz", "a:b.npz:c");
  expect("x.safetensors", FileFormat::kSafetensors, "x.safetensors", "");
  expect("x.safetensors:a.b", FileFormat::kSafetensors, "x.safetensors", "a.b");
  for (const char* other : {"", "0.5,-1", "x.npzz", "x.txt", "npz:a"}) {
    EXPECT_FALSE(ParseArrayFileName(other).has_value()) << other;
  }
}

std::string Choice(const std::vector<std::string>& names, const char* asked) {
  const absl::StatusOr<std::string> name = ChooseArray(names, asked);
  return name.ok() ? *name : std::string(name.status().message());
}

TEST(ArrayFileTest, ANameIsNeededOnlyWhereThereAreSeveral) {
  EXPECT_EQ(Choice({"a"}, ""), "a");
  EXPECT_EQ(Choice({"a", "b"}, "b"), "b");
  EXPECT_EQ(Choice({"a", "b"}, ""),
            "the file has several arrays; name one of them after a colon: a, "
            "b");
  EXPECT_EQ(Choice({"a", "b"}, "c"),
            "the file has no array \"c\"; it has a, b");
  EXPECT_EQ(Choice({}, "c"), "the file has no arrays");
  const std::string many = Choice(std::vector<std::string>(1000, "a"), "");
  EXPECT_TRUE(many.ends_with("a, ... (1000 in all)")) << many;
  EXPECT_LT(many.size(), 200u);
}

TEST(ArrayFileTest, WhatIsWrittenIsReadAgain) {
  const std::vector<std::byte> bytes(24, std::byte{1});
  const client::Shape shape({2, 3});
  const client::TensorView view{v1::DATA_TYPE_FLOAT32, shape, bytes};
  const std::pair<const char*, const char*> names[] = {
      {"x.npy", ""},
      {"x.npz", ""},
      {"x.npz", ":g"},
      {"x.safetensors", ""},
      {"x.safetensors", ":a \"b\" \xc3\xa9"}};
  for (const auto& [file, name] : names) {
    const TemporaryPath path(file);
    const std::string text = path.string() + name;
    ASSERT_TRUE(WriteArrayFile(text, "gradient", view).ok()) << text;
    const auto array = ReadArrayFile(*ParseArrayFileName(text));
    ASSERT_TRUE(array.ok()) << array.status();
    EXPECT_EQ(array->dtype, view.dtype);
    EXPECT_EQ(array->shape, shape);
    EXPECT_EQ(array->bytes, bytes);
  }
}

TEST(ArrayFileTest, ErrorsBeginWithThePath) {
  const client::Shape shape({1});
  const std::vector<std::byte> bytes(4);
  const client::TensorView view{v1::DATA_TYPE_FLOAT32, shape, bytes};
  for (const char* name : {"/no/x.npy", "/no/x.npz", "/no/x.safetensors"}) {
    EXPECT_EQ(ReadArrayFile(*ParseArrayFileName(name)).status().message(),
              std::string(name) + ": No such file or directory");
    EXPECT_EQ(
        WriteArrayFile(name, "gradient", view).message(),
        std::string(name) + ": cannot be written: No such file or directory");
  }
}

}  // namespace
}  // namespace lossd::cli
