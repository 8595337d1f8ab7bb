#include "server/tracing/otlp_http_exporter.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "base/version.h"

namespace lossd::tracing {
namespace {

using Outcome = ExportResult::Outcome;

// An answer is a few bytes; nothing of a longer one is of use.
constexpr size_t kMaxAnswerBytes = size_t{64} << 10;

struct CloseEasy {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct CloseUrl {
  void operator()(CURLU* handle) const { curl_url_cleanup(handle); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeText {
  void operator()(char* text) const { curl_free(text); }
};
using Url = std::unique_ptr<CURLU, CloseUrl>;
using Headers = std::unique_ptr<curl_slist, FreeList>;

// Keeps what arrives, up to the limit; beyond it the transfer fails.
size_t Append(char* data, size_t size, size_t count, void* body) {
  auto& text = *static_cast<std::string*>(body);
  if (text.size() + size * count > kMaxAnswerBytes) return 0;
  text.append(data, size * count);
  return size * count;
}

// Returns a part of the URL, or an empty text if it has none.
std::string PartOf(const Url& url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, 0) != CURLUE_OK) return {};
  const std::unique_ptr<char, FreeText> owner(text);
  return text;
}

Headers HeadersOfRequests() {
  curl_slist* list = nullptr;
  // Without the second, larger requests would first ask whether they may come.
  for (const char* header :
       {"Content-Type: application/x-protobuf", "Expect:"}) {
    list = curl_slist_append(list, header);
  }
  return Headers(list);
}

// These ask for patience; OTLP names no others.
bool IsForPatience(long http_status) {
  return http_status == 429 || http_status == 502 || http_status == 503 ||
         http_status == 504;
}

// Returns the result of an answer with the status 200. An answer that cannot be
// read counts as one that says nothing, because the spans were accepted.
ExportResult Accepted(const std::string& body) {
  opentelemetry::proto::collector::trace::v1::ExportTraceServiceResponse answer;
  if (!answer.ParseFromString(body)) return {};
  return {.reason = answer.partial_success().error_message(),
          .refused_spans = answer.partial_success().rejected_spans()};
}

}  // namespace

absl::Status CheckEndpoint(const std::string& url) {
  constexpr char kForm[] =
      "a URL such as http://127.0.0.1:4318/v1/traces, with http or https, a "
      "host and a path, and without a user";
  const Url parsed(curl_url());
  const bool fits =
      curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) == CURLUE_OK;
  const std::string scheme = PartOf(parsed, CURLUPART_SCHEME);
  if (fits && (scheme == "http" || scheme == "https") &&
      PartOf(parsed, CURLUPART_PATH).size() > 1 &&
      PartOf(parsed, CURLUPART_USER).empty() &&
      PartOf(parsed, CURLUPART_PASSWORD).empty()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(kForm);
}

// The buffers have the addresses that the library was told.
class OtlpHttpExporter::Connection {
 public:
  explicit Connection(const std::string& endpoint) {
    CURL* easy = easy_.get();
    curl_easy_setopt(easy, CURLOPT_URL, endpoint.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // A host that is being looked up does not delay the end of the process.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT,
                     absl::StrCat("lossd/", kVersion).c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_.data());
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Append);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer_);
  }

  CURLcode Post(const std::string& body, absl::Duration timeout) {
    answer_.clear();
    error_.front() = '\0';
    CURL* easy = easy_.get();
    // 0 would be no limit.
    const int64_t milliseconds = absl::ToInt64Milliseconds(timeout);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     static_cast<long>(std::max<int64_t>(milliseconds, 1)));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(body.size()));
    return curl_easy_perform(easy);
  }

  // These are about the last Post().
  const std::string& answer() const { return answer_; }
  long http_status() const {
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
  }
  absl::Duration retry_after() const {
    curl_off_t seconds = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RETRY_AFTER, &seconds);
    return absl::Seconds(seconds);
  }
  std::string Reason(CURLcode code) const {
    return error_.front() != '\0' ? error_.data() : curl_easy_strerror(code);
  }

 private:
  const Headers headers_ = HeadersOfRequests();
  std::string answer_;
  std::array<char, CURL_ERROR_SIZE> error_{};
  const std::unique_ptr<CURL, CloseEasy> easy_{curl_easy_init()};
};

OtlpHttpExporter::OtlpHttpExporter(const std::string& endpoint)
    : connection_(std::make_unique<Connection>(endpoint)) {}

OtlpHttpExporter::~OtlpHttpExporter() = default;

ExportResult OtlpHttpExporter::Export(const ExportRequest& request,
                                      absl::Duration timeout) {
  const CURLcode code = connection_->Post(request.SerializeAsString(), timeout);
  if (code != CURLE_OK && code != CURLE_WRITE_ERROR) {
    return {Outcome::kTryAgain, connection_->Reason(code)};
  }
  const long status = connection_->http_status();
  if (status >= 200 && status < 300) return Accepted(connection_->answer());
  return {
      .outcome = IsForPatience(status) ? Outcome::kTryAgain : Outcome::kRefused,
      .reason = absl::StrCat("the collector answers with HTTP status ", status),
      .retry_after = connection_->retry_after()};
}

}  // namespace lossd::tracing
