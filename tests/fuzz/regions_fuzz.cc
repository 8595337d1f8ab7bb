// Whatever packets the clients of the region socket send, each gets one answer,
// limits hold, and nothing is left of clients that have gone.
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "server/shared_memory/region_protocol.h"
#include "tests/fuzz/input.h"

namespace lossd::fuzz {
namespace {

using shared_memory::AnswerPacket;
using shared_memory::Connection;

constexpr shared_memory::RegionLimits kLimits = {
    .max_bytes = 64 << 10,
    .max_bytes_per_connection = 32 << 10,
    .max_regions_per_connection = 4,
    .max_remembered_names = 4};
constexpr Connection kClients = 3;

// Answers a packet of `owner`. A client that may is told its newest region's
// name, by a release whose name is empty.
void Send(shared_memory::RegionTable& table, Connection owner,
          std::string packet, std::string* newest) {
  v1::SharedMemoryRequest request;
  if (request.ParseFromString(packet) && request.has_release_region() &&
      request.release_region().name().empty()) {
    request.mutable_release_region()->set_name(*newest);
    packet = request.SerializeAsString();
  }
  const auto answer = AnswerPacket(table, owner, packet);
  if (!answer.ok()) {
    if (!absl::IsInvalidArgument(answer.status())) {
      Fail(answer.status().ToString());
    }
    table.ReleaseAll(owner);
    return;
  }
  using Reply = v1::SharedMemoryReply;
  const Reply::ReplyCase kind = answer->reply.reply_case();
  if (kind == Reply::REPLY_NOT_SET) Fail("an empty answer");
  if (answer->file.open() != (kind == Reply::kRegion)) {
    Fail("a descriptor without a region, or a region without one");
  }
  if (kind == Reply::kRegion) *newest = answer->reply.region().name();
  if (table.bytes() > kLimits.max_bytes) Fail("beyond the limit");
}

// A packet is a byte with the client, a byte with the size, and its bytes.
void Check(std::string_view bytes) {
  shared_memory::RegionTable table(kLimits);
  std::string newest;  // the region that was made last, by whomever
  while (bytes.size() >= 2) {
    const Connection owner = static_cast<unsigned char>(bytes[0]) % kClients;
    const size_t size = static_cast<unsigned char>(bytes[1]);
    bytes.remove_prefix(2);
    const std::string_view packet = bytes.substr(0, size);
    bytes.remove_prefix(packet.size());
    Send(table, owner, std::string(packet), &newest);
  }
  for (Connection owner = 0; owner < kClients; ++owner) table.ReleaseAll(owner);
  if (table.bytes() != 0) Fail("memory is left of clients that have gone");
}

}  // namespace
}  // namespace lossd::fuzz

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  // Protobuf would log a line for every string that is not UTF-8.
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  lossd::fuzz::Check({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
