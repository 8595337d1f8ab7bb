#include "server/observability/gzip.h"

#include <zlib.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace lossd::observability {
namespace {

// Returns whether parameters such as " q=0.5" leave the coding allowed.
bool HasWeight(absl::string_view parameters) {
  for (absl::string_view parameter : absl::StrSplit(parameters, ';')) {
    parameter = absl::StripAsciiWhitespace(parameter);
    double weight = 1;
    if (absl::StartsWithIgnoreCase(parameter, "q=") &&
        absl::SimpleAtod(parameter.substr(2), &weight) && weight == 0) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool AcceptsGzip(std::string_view accept_encoding) {
  const absl::string_view codings(accept_encoding.data(),
                                  accept_encoding.size());
  for (const absl::string_view coding : absl::StrSplit(codings, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(coding, absl::MaxSplits(';', 1));
    if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(parts.first),
                               "gzip")) {
      return HasWeight(parts.second);
    }
  }
  return false;
}

std::string Gzip(std::string_view text) {
  constexpr int kGzipFormat = 16;  // added to the size of the window
  constexpr int kDefaultMemory = 8;
  z_stream stream = {};
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + kGzipFormat,
               kDefaultMemory, Z_DEFAULT_STRATEGY);
  std::string zipped(deflateBound(&stream, text.size()), '\0');
  // zlib does not write to its input.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(zipped.data());
  stream.avail_out = static_cast<uInt>(zipped.size());
  deflate(&stream, Z_FINISH);
  zipped.resize(stream.total_out);
  deflateEnd(&stream);
  return zipped;
}

}  // namespace lossd::observability
