// Texts that clients, operators and files send are read or refused: tokens and
// what they may do, the header Authorization, names of flows, addresses,
// Accept-Encoding; and no text of a client makes a line of the log, or ends
// one.
#include <grpcpp/server_context.h>
#include <grpcpp/test/server_context_test_spouse.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/address.h"
#include "server/door/authenticator.h"
#include "server/door/flow_name.h"
#include "server/door/token_file.h"
#include "server/observability/gzip.h"
#include "server/observability/log_line.h"
#include "tests/fuzz/input.h"

namespace lossd::fuzz {
namespace {

using door::Authenticator;

void CheckRefusal(const absl::Status& status) {
  if (!absl::IsInvalidArgument(status)) Fail(status.ToString());
}

// A file of tokens lets nobody in whose token is not a line of it.
void CheckTokens(const std::string& text) {
  absl::StatusOr<std::vector<door::Token>> tokens = door::ParseTokens(text);
  if (!tokens.ok()) return CheckRefusal(tokens.status());
  if (tokens->empty()) Fail("an empty list lets everyone in");
  const Authenticator authenticator("path", *std::move(tokens));
  if (authenticator.PermissionsOf(std::nullopt).ok()) Fail("nobody was let in");
  for (const absl::string_view value : {"", "Bearer ", "Bearer"}) {
    if (authenticator.PermissionsOf(value).ok()) Fail("an empty token");
  }
}

// The first line is the header, the rest a file of tokens.
void CheckAuthorization(const std::string& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  absl::StatusOr<std::vector<door::Token>> tokens =
      door::ParseTokens(text.substr(end));
  if (!tokens.ok()) return CheckRefusal(tokens.status());
  const std::string header = text.substr(0, end);
  const Authenticator authenticator("path", *std::move(tokens));
  const auto granted = authenticator.PermissionsOf(absl::string_view(header));
  if (!granted.ok() && !absl::IsUnauthenticated(granted.status())) {
    Fail(granted.status().ToString());
  }
  constexpr size_t kBearer = sizeof("Bearer ") - 1;
  const bool listed = header.size() > kBearer &&
                      text.find(header.substr(kBearer), end) != text.npos;
  if (granted.ok() && !listed) Fail("the token is not in the file");
}

void CheckFlowName(const std::string& text) {
  grpc::ServerContext context;
  grpc::testing::ServerContextTestSpouse call(&context);
  call.AddClientMetadata(door::kFlowKey, text);
  const auto named = door::NamedFlowOf(context);
  if (!named.ok()) return CheckRefusal(named.status());
  if (named->name != text) Fail("another name");
}

void CheckAddress(const std::string& text) {
  const std::optional<Address> address = ParseAddress(text);
  if (!address.has_value()) return;
  if (address->port < 0 || address->port > 65535) Fail("a port out of range");
  const std::optional<Address> again = ParseAddress(address->text());
  if (!again.has_value() || again->host != address->host ||
      again->port != address->port) {
    Fail("an address that was written is read otherwise");
  }
}

void CheckEncoding(const std::string& text) {
  if (!observability::AcceptsGzip(text)) return;
  std::string lower = text;
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return std::tolower(c); });
  if (lower.find("gzip") == lower.npos && lower.find('*') == lower.npos) {
    Fail("gzip, which the client does not name");
  }
}

bool IsSteering(unsigned char c) { return c < 0x20 || c == 0x7f; }

void CheckLog(const std::string& text) {
  const observability::LogFields fields = {{"request_id", text},
                                           {"reason", text}};
  const std::string line = observability::TextOf(text, fields);
  const std::string members = observability::JsonMembersOf(text, fields);
  for (const std::string& written : {line, members}) {
    if (std::ranges::any_of(written, &IsSteering)) {
      Fail("a control character in the log");
    }
  }
  const auto json = nlohmann::json::parse("{" + members + "}", nullptr,
                                          /*allow_exceptions=*/false);
  if (!json.is_object()) Fail(absl::StrCat("no JSON: ", members));
  for (const char* name : {"request_id", "reason"}) {
    if (json.contains(name) == text.empty()) Fail("a field too many or few");
  }
}

// The first byte chooses the reader.
void Check(std::string_view bytes) {
  if (bytes.empty()) return;
  constexpr void (*kReaders[])(const std::string&) = {
      &CheckTokens,  &CheckAuthorization, &CheckFlowName,
      &CheckAddress, &CheckEncoding,      &CheckLog};
  const auto reader = static_cast<unsigned char>(bytes[0]);
  kReaders[reader % std::size(kReaders)](std::string(bytes.substr(1)));
}

}  // namespace
}  // namespace lossd::fuzz

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  lossd::fuzz::Check({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
