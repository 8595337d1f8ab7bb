// Compression of HTTP bodies.
#ifndef LOSSD_SERVER_OBSERVABILITY_GZIP_H_
#define LOSSD_SERVER_OBSERVABILITY_GZIP_H_

#include <string>
#include <string_view>

namespace lossd::observability {

// Returns whether the value of an Accept-Encoding header allows gzip.
bool AcceptsGzip(std::string_view accept_encoding);

// Returns the text in gzip's format.
std::string Gzip(std::string_view text);

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_GZIP_H_
