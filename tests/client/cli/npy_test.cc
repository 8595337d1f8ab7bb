#include "client/cli/npy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "tests/temporary_path.h"

namespace lossd::cli {
namespace {

// Returns a .npy file made by hand from the format's description.
std::string File(int version, const std::string& dictionary,
                 const std::string& data) {
  std::string file = "\x93NUMPY";
  file += static_cast<char>(version);
  file += '\0';
  const auto length = static_cast<uint32_t>(dictionary.size());
  const std::string bytes(reinterpret_cast<const char*>(&length),
                          version == 1 ? 2 : 4);
  return file + bytes + dictionary + data;
}

std::string Dictionary(const std::string& descr, const std::string& shape) {
  return absl::StrCat("{'descr': '", descr,
                      "', 'fortran_order': False, 'shape': ", shape, ", }  \n");
}

absl::StatusOr<Array> Parse(const std::string& content) {
  return ParseNpy(content);
}

TEST(NpyTest, ReadsVersionsOneToThree) {
  for (const int version : {1, 2, 3}) {
    const auto array =
        Parse(File(version, Dictionary("<f4", "(2, 3)"), std::string(24, 'x')));
    ASSERT_TRUE(array.ok()) << array.status();
    EXPECT_EQ(array->dtype, v1::DATA_TYPE_FLOAT32);
    EXPECT_EQ(array->shape, client::Shape({2, 3}));
    EXPECT_EQ(array->bytes.size(), 24u);
  }
}

TEST(NpyTest, ReadsEveryElementType) {
  const std::pair<const char*, v1::DataType> types[] = {
      {"<f2", v1::DATA_TYPE_FLOAT16},  {"<V2", v1::DATA_TYPE_BFLOAT16},
      {"|V2", v1::DATA_TYPE_BFLOAT16}, {"<f4", v1::DATA_TYPE_FLOAT32},
      {"<f8", v1::DATA_TYPE_FLOAT64},  {"|u1", v1::DATA_TYPE_UINT8},
      {"|b1", v1::DATA_TYPE_BOOL},     {"<i4", v1::DATA_TYPE_INT32},
      {"<i8", v1::DATA_TYPE_INT64},    {"|i1", v1::DATA_TYPE_INT8},
      {"<i2", v1::DATA_TYPE_INT16}};
  for (const auto& [descr, dtype] : types) {
    const size_t width = static_cast<size_t>(descr[2] - '0');
    const auto array =
        Parse(File(1, Dictionary(descr, "(5,)"), std::string(5 * width, 0)));
    ASSERT_TRUE(array.ok()) << descr << ": " << array.status();
    EXPECT_EQ(array->dtype, dtype);
  }
}

TEST(NpyTest, ReadsSingleBytesAsTheFloat8ThatIsNamed) {
  for (const char* descr : {"<V1", "|V1", "<f1", "|f1"}) {
    const std::string file = File(1, Dictionary(descr, "(2,)"), "\x38\xb8");
    for (const v1::DataType float8 :
         {v1::DATA_TYPE_FLOAT8_E4M3FN, v1::DATA_TYPE_FLOAT8_E5M2}) {
      const auto array = ParseNpy(file, float8);
      ASSERT_TRUE(array.ok()) << descr << ": " << array.status();
      EXPECT_EQ(array->dtype, float8);
      EXPECT_EQ(std::memcmp(array->bytes.data(), "\x38\xb8", 2), 0);
    }
    EXPECT_FALSE(ParseNpy(file, v1::DATA_TYPE_FLOAT32).ok()) << descr;
  }
  const std::string plain = File(1, Dictionary("|u1", "(2,)"), "12");
  EXPECT_EQ(ParseNpy(plain, v1::DATA_TYPE_FLOAT8_E5M2)->dtype,
            v1::DATA_TYPE_UINT8);
}

TEST(NpyTest, WritesFloat8AsBytesThatNumPyReads) {
  for (const v1::DataType float8 :
       {v1::DATA_TYPE_FLOAT8_E4M3FN, v1::DATA_TYPE_FLOAT8_E5M2}) {
    const auto header = NpyHeader({float8, {3}, {}});
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_NE(header->find("'descr': '|V1'"), std::string::npos) << *header;
  }
}

TEST(NpyTest, ReadsScalarsAndEmptyArrays) {
  EXPECT_EQ(Parse(File(1, Dictionary("|u1", "()"), "x"))->shape.size(), 0u);
  EXPECT_EQ(Parse(File(1, Dictionary("<f8", "(0, 7)"), ""))->shape,
            client::Shape({0, 7}));
}

TEST(NpyTest, ReadsKeysInAnyOrderAndEitherQuote) {
  const auto array = Parse(
      File(1, R"({"shape":(1,),"fortran_order":True,"descr":"|b1"})", "x"));
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(array->dtype, v1::DATA_TYPE_BOOL);
}

struct BadFile {
  std::string content;
  std::string message;
};

TEST(NpyTest, BadFilesGiveAMessageThatSaysWhatIsWrong) {
  const std::string good = File(1, Dictionary("<f4", "(2,)"), "12345678");
  const std::string huge = "(4294967296, 4294967296)";
  const BadFile files[] = {
      {"", "not a .npy file"},
      {"PK\x03\x04", "not a .npy file"},
      {good.substr(0, 7), "the file is cut off"},
      {good.substr(0, 9), "the file is cut off"},
      {good.substr(0, 20), "the file is cut off"},
      {good.substr(0, good.size() - 1),
       "the header asks for 8 bytes of data, the file has 7"},
      {good + "x", "the header asks for 8 bytes of data, the file has 9"},
      {File(4, "{}", ""), ".npy version 4 is not read"},
      {File(1, Dictionary(">f4", "(2,)"), "12345678"),
       "element type '>f4' is not read; save as <f2, <f4, <f8, |u1, |b1, "
       "|i1, <i2, <i4, <i8, bfloat16 as <V2, or float8 as |V1"},
      {File(1, Dictionary("<V1", "(2,)"), "12"),
       "element type '<V1' does not say which float8 it is; "
       "--dtype=float8_e4m3fn or --dtype=float8_e5m2 does"},
      {File(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}",
            "1234"),
       "structured .npy types are not read"},
      {File(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2)}",
            "12345678"),
       "Fortran order is not read; save numpy.ascontiguousarray(a)"},
      {File(1, Dictionary("<f4", huge), ""), "the shape is too large"},
      {File(1, Dictionary("<f4", "(-1,)"), ""),
       "the .npy header is malformed: a dimension is not a number"},
      {File(1, Dictionary("<f4", "(99999999999999999999,)"), ""),
       "the .npy header is malformed: a dimension is not a number"},
      {File(1, Dictionary("<f4", "(1 2)"), ""),
       "the .npy header is malformed: the shape has no end"},
      {File(1, "{'descr': '<f4', 'shape': (1,)}", "1234"),
       "the .npy header is malformed: it needs descr, fortran_order and shape, "
       "once each"},
      {File(1, "{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}", "1234"),
       "the .npy header is malformed: it needs descr, fortran_order and shape, "
       "once each"},
      {File(1, "{'color': 1}", ""),
       "the .npy header is malformed: unknown key 'color'"},
      {File(1, "None", ""),
       "the .npy header is malformed: there is no dictionary"},
  };
  for (const BadFile& file : files) {
    EXPECT_EQ(Parse(file.content).status().message(), file.message);
  }
}

TEST(NpyTest, AnErrorBeginsWithTheFilesName) {
  const TemporaryPath file("bad.npy");
  const std::string& path = file.string();
  std::ofstream(path) << "text";
  EXPECT_EQ(ReadNpy(path).status().message(), path + ": not a .npy file");
  EXPECT_EQ(ReadNpy("/no/such.npy").status().message(),
            "/no/such.npy: No such file or directory");
  EXPECT_EQ(ReadNpy("/tmp").status().message(), "/tmp: Is a directory");
}

TEST(NpyTest, WhatIsWrittenIsReadAgain) {
  const TemporaryPath file("written.npy");
  const std::string& path = file.string();
  for (const client::Shape& shape :
       {client::Shape{6}, client::Shape{2, 3}, client::Shape{1, 6, 1}}) {
    const std::vector<double> values = {1, 2, 3, 4, 5, 6};
    ASSERT_TRUE(
        WriteNpy(path, client::TensorView::Of<double>(values, shape)).ok());
    const auto array = ReadNpy(path);
    ASSERT_TRUE(array.ok()) << array.status();
    EXPECT_EQ(array->shape, shape);
    EXPECT_EQ(std::memcmp(array->bytes.data(), values.data(), 48), 0);
    // NumPy maps files, so that their data is aligned.
    EXPECT_EQ((ReadFile(path)->size() - 48) % 64, 0u);
  }
}

}  // namespace
}  // namespace lossd::cli
