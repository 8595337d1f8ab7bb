#include "client/cli/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/temporary_path.h"

namespace lossd::cli {
namespace {

// Returns a file made by hand from the format's description.
std::string File(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) +
         header + data;
}

absl::StatusOr<Array> Read(const std::string& content,
                           const std::string& name = "") {
  const TemporaryPath path("x.safetensors");
  std::ofstream(path.string(), std::ios::binary) << content;
  return ReadSafetensors(path.string(), name);
}

std::string HeaderMessage(const std::string& header, uint64_t data_bytes) {
  return std::string(
      ParseSafetensorsHeader(header, data_bytes).status().message());
}

constexpr char kTwo[] =
    R"({"__metadata__":{"format":"pt"},)"
    R"("b":{"dtype":"F32","shape":[2],"data_offsets":[2,10]},)"
    R"("a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}}   )";

TEST(SafetensorsTest, ReadsTheTensorThatIsNamed) {
  const std::string file = File(kTwo, "0123456789");
  const auto a = Read(file, "a");
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_EQ(a->dtype, v1::DATA_TYPE_BFLOAT16);
  EXPECT_TRUE(a->shape.empty());
  EXPECT_EQ(std::memcmp(a->bytes.data(), "01", 2), 0);
  const auto b = Read(file, "b");
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(b->dtype, v1::DATA_TYPE_FLOAT32);
  EXPECT_EQ(b->shape, client::Shape({2}));
  EXPECT_EQ(std::memcmp(b->bytes.data(), "23456789", 8), 0);
  EXPECT_EQ(Read(file, "c").status().message(),
            "the file has no array \"c\"; it has a, b");
}

TEST(SafetensorsTest, ReadsEveryTypeThatLossdHas) {
  const std::pair<std::string, size_t> types[] = {
      {"F16", 2}, {"BF16", 2}, {"F32", 4},     {"F64", 8},
      {"U8", 1},  {"BOOL", 1}, {"I8", 1},      {"I16", 2},
      {"I32", 4}, {"I64", 8},  {"F8_E4M3", 1}, {"F8_E5M2", 1}};
  for (const auto& [dtype, width] : types) {
    const auto array =
        Read(File(R"({"x":{"dtype":")" + dtype +
                      R"(","shape":[3,0,2],"data_offsets":[0,0]},)"
                      R"("y":{"dtype":")" +
                      dtype + R"(","shape":[1],"data_offsets":[0,)" +
                      std::to_string(width) + "]}}",
                  std::string(width, 0)),
             "x");
    ASSERT_TRUE(array.ok()) << dtype << array.status();
    EXPECT_EQ(array->shape, client::Shape({3, 0, 2}));
  }
}

TEST(SafetensorsTest, AnotherTypeIsRefusedOnlyWhereItIsAskedFor) {
  for (const std::string dtype :
       {"F8_E8M0", "F8_E4M3FNUZ", "F4", "U16", "C64"}) {
    const std::string file =
        File(R"({"x":{"dtype":")" + dtype +
                 R"(","shape":[3],"data_offsets":[0,3]},)"
                 R"("y":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})",
             "0123");
    EXPECT_TRUE(Read(file, "y").ok());
    EXPECT_EQ(Read(file, "x").status().message(),
              "\"x\" is of type " + dtype +
                  ", which is not read; save as F8_E4M3, F8_E5M2, F16, BF16, "
                  "F32, F64, BOOL, U8, I8, I16, I32 or I64");
  }
}

TEST(SafetensorsTest, AFileThatIsCutOffAnywhereIsAnError) {
  const std::string whole = File(kTwo, "0123456789");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(Read(whole.substr(0, size), "a").ok()) << size;
  }
  EXPECT_EQ(Read(whole.substr(0, 7)).status().message(),
            "not a safetensors file, or it is cut off");
  EXPECT_EQ(Read(whole.substr(0, whole.size() - 1)).status().message(),
            "the header asks for 10 bytes of data, the file has 9");
}

TEST(SafetensorsTest, AHugeLengthOfTheHeaderIsNotBelieved) {
  for (const uint64_t length :
       {~uint64_t{0}, uint64_t{1} << 63, uint64_t{100'000'001}}) {
    std::string file = File(kTwo, "0123456789");
    std::memcpy(file.data(), &length, sizeof(length));
    EXPECT_EQ(Read(file).status().message(),
              "not a safetensors file: its header would have " +
                  std::to_string(length) +
                  " bytes, and at most 100000000 are allowed");
  }
}

std::string Entry(const std::string& fields) {
  return "{\"x\":" + fields + "}";
}

TEST(SafetensorsTest, BadHeadersAreNamed) {
  const std::string begin = "the safetensors header is malformed: ";
  const std::pair<std::string, std::string> headers[] = {
      {"", "it is not a JSON object"},
      {"[]", "it is not a JSON object"},
      {"{", "it is not a JSON object"},
      {std::string(100000, '['), "it is not a JSON object"},
      {"{\"x\":\xff}", "it is not a JSON object"},
      {R"({"x":{},"x":{}})", "\"x\" is there twice"},
      {Entry(R"({"dtype":"U8","dtype":"F32"})"), "\"dtype\" is there twice"},
      {Entry("1"), "\"x\" is not an object"},
      {Entry("{}"), "\"x\" has no dtype"},
      {Entry(R"({"dtype":1})"), "\"x\" has no dtype"},
      {Entry(R"({"dtype":"U8"})"), "\"x\" has no shape of whole numbers"},
      {Entry(R"({"dtype":"U8","shape":[-1]})"),
       "\"x\" has no shape of whole numbers"},
      {Entry(R"({"dtype":"U8","shape":[1.5]})"),
       "\"x\" has no shape of whole numbers"},
      {Entry(R"({"dtype":"U8","shape":[18446744073709551615]})"),
       "\"x\" has no shape of whole numbers"},
      {Entry(R"({"dtype":"U8","shape":[4]})"),
       "\"x\" has no data_offsets of two rising numbers"},
      {Entry(R"({"dtype":"U8","shape":[4],"data_offsets":[4,0]})"),
       "\"x\" has no data_offsets of two rising numbers"},
      {Entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,3]})"),
       "\"x\" takes 4 bytes, and its offsets 3"},
      {Entry(R"({"dtype":"F32","shape":[4611686018427387904,4],)"
             R"("data_offsets":[0,4]})"),
       "\"x\" the shape is too large"},
      {R"({"x":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
       R"("y":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "tensors overlap before byte 3"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
       R"("y":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "no tensor has the bytes before byte 2"},
  };
  for (const auto& [header, message] : headers) {
    EXPECT_EQ(HeaderMessage(header, 4), begin + message)
        << header.substr(0, 99);
  }
  EXPECT_EQ(HeaderMessage(
                Entry(R"({"dtype":"U8","shape":[9],"data_offsets":[0,9]})"), 4),
            "the header asks for 9 bytes of data, the file has 4");
}

}  // namespace
}  // namespace lossd::cli
