#include "client/cli/watch/metrics_page.h"

#include <curl/curl.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/address.h"
#include "base/version.h"

namespace lossd::cli::watch {
namespace {

struct CloseEasy {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct CloseMulti {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct CloseUrl {
  void operator()(CURLU* handle) const { curl_url_cleanup(handle); }
};
struct FreeText {
  void operator()(char* text) const { curl_free(text); }
};

// Keeps what arrives, up to the limit; beyond it the transfer fails.
size_t Append(char* data, size_t size, size_t count, void* body) {
  auto& text = *static_cast<std::string*>(body);
  if (text.size() + size * count > MetricsPage::kMaxBytes) return 0;
  text.append(data, size * count);
  return size * count;
}

// One transfer. The buffers have the addresses that the library was told.
class Transfer {
 public:
  Transfer(const std::string& url, const std::string& token,
           absl::Duration timeout)
      : easy_(curl_easy_init()), multi_(curl_multi_init()) {
    CURL* easy = easy_.get();
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_USERAGENT,
                     absl::StrCat("lossctl/", kVersion).c_str());
    if (!token.empty()) {
      curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
      curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, token.c_str());
    }
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     static_cast<long>(absl::ToInt64Milliseconds(timeout)));
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_.data());
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Append);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &body_);
    curl_multi_add_handle(multi_.get(), easy);
  }
  ~Transfer() { curl_multi_remove_handle(multi_.get(), easy_.get()); }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Returns false if `interrupted` became readable before the end.
  bool Run(int interrupted) {
    int running = 1;
    while (true) {
      curl_multi_perform(multi_.get(), &running);
      if (running == 0) break;
      curl_waitfd other{interrupted, CURL_WAIT_POLLIN, 0};
      constexpr int kMilliseconds = 1000;
      curl_multi_poll(multi_.get(), &other, 1, kMilliseconds, nullptr);
      if (other.revents != 0) return false;
    }
    int left = 0;
    const CURLMsg* message = curl_multi_info_read(multi_.get(), &left);
    if (message != nullptr) code_ = message->data.result;
    return true;
  }

  CURLcode code() const { return code_; }
  std::string& body() { return body_; }

  long http_status() const {
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
  }

  // Returns why there was no connection, in the system's words if it has some.
  std::string Reason() const {
    long number = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &number);
    if (code_ == CURLE_COULDNT_CONNECT && number != 0) {
      return strerrordesc_np(static_cast<int>(number));
    }
    return error_.front() != '\0' ? error_.data() : curl_easy_strerror(code_);
  }

 private:
  std::string body_;
  std::array<char, CURL_ERROR_SIZE> error_{};
  CURLcode code_ = CURLE_FAILED_INIT;
  std::unique_ptr<CURL, CloseEasy> easy_;
  std::unique_ptr<CURLM, CloseMulti> multi_;
};

// Returns the URL of a page, or nothing if no URL has such a host.
std::string UrlOf(const Address& address) {
  const std::unique_ptr<CURLU, CloseUrl> url(curl_url());
  const std::string port = absl::StrCat(address.port);
  char* text = nullptr;
  const bool made =
      curl_url_set(url.get(), CURLUPART_SCHEME, "http", 0) == CURLUE_OK &&
      curl_url_set(url.get(), CURLUPART_HOST, address.host.c_str(), 0) ==
          CURLUE_OK &&
      curl_url_set(url.get(), CURLUPART_PORT, port.c_str(), 0) == CURLUE_OK &&
      curl_url_set(url.get(), CURLUPART_PATH, "/metrics", 0) == CURLUE_OK &&
      curl_url_get(url.get(), CURLUPART_URL, &text, 0) == CURLUE_OK;
  const std::unique_ptr<char, FreeText> owner(text);
  return made ? std::string(text) : std::string();
}

}  // namespace

absl::StatusOr<MetricsPage> MetricsPage::Create(const std::string& address,
                                                std::string token) {
  if (!std::all_of(token.begin(), token.end(), &absl::ascii_isprint)) {
    return absl::InvalidArgumentError(
        "--token_file: a token is one line of printable ASCII");
  }
  const auto parsed = ParseAddress(address);
  if (parsed.has_value() && parsed->port > 0) {
    std::string url = UrlOf(*parsed);
    if (!url.empty()) {
      return MetricsPage(std::move(url), std::move(token));
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", address,
                   "\" is no metrics address: it must be HOST:PORT, such as "
                   "localhost:9464"));
}

absl::Status MetricsPage::Complain(absl::StatusCode code,
                                   absl::string_view message) const {
  return {code, absl::StrCat(url_, ": ", message)};
}

absl::StatusOr<std::string> MetricsPage::Fetch(absl::Duration timeout,
                                               int interrupted) {
  Transfer transfer(url_, token_, timeout);
  if (!transfer.Run(interrupted)) {
    return Complain(absl::StatusCode::kCancelled, "interrupted");
  }
  switch (transfer.code()) {
    case CURLE_OK:
      break;
    case CURLE_OPERATION_TIMEDOUT:
      return Complain(
          absl::StatusCode::kUnavailable,
          absl::StrCat("no answer within ", absl::FormatDuration(timeout)));
    case CURLE_WRITE_ERROR:
      return Complain(
          absl::StatusCode::kFailedPrecondition,
          absl::StrCat("the page is larger than ", kMaxBytes, " bytes"));
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
      return Complain(absl::StatusCode::kFailedPrecondition,
                      "the answer is not HTTP; is this the server's "
                      "--metrics_listen address?");
    default:
      return Complain(absl::StatusCode::kUnavailable, transfer.Reason());
  }
  if (transfer.http_status() == 200) return std::move(transfer.body());
  const bool wants_token =
      transfer.http_status() == 401 || transfer.http_status() == 403;
  return Complain(
      absl::StatusCode::kFailedPrecondition,
      absl::StrCat("the answer is HTTP status ", transfer.http_status(),
                   ", not 200",
                   wants_token ? "; --token_file needs a token that "
                                 "may use admin"
                               : ""));
}

absl::StatusOr<Scrape> MetricsPage::Read(absl::Duration timeout,
                                         int interrupted) {
  const absl::StatusOr<std::string> body = Fetch(timeout, interrupted);
  if (!body.ok()) return body.status();
  absl::StatusOr<Exposition> metrics = ParseExposition(*body);
  if (!metrics.ok()) {
    return Complain(absl::StatusCode::kFailedPrecondition,
                    metrics.status().message());
  }
  if (metrics->Of("lossd_build_info").empty()) {
    return Complain(absl::StatusCode::kFailedPrecondition,
                    "the page has no lossd_build_info, so it is not lossd's");
  }
  return Scrape{.time = absl::Now(), .metrics = *std::move(metrics)};
}

}  // namespace lossd::cli::watch
