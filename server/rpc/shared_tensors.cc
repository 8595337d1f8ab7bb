#include "server/rpc/shared_tensors.h"

#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace lossd::rpc {
namespace {

// kernels::Segment::gradient; a region begins at a page.
constexpr uint64_t kDestinationAlignment = 64;

// Both are of mappings of this process, so equal addresses are equal bytes.
bool Overlap(kernels::Piece a, kernels::Piece b) {
  const std::less<const std::byte*> before;
  return !a.empty() && !b.empty() && before(a.data(), b.data() + b.size()) &&
         before(b.data(), a.data() + a.size());
}

}  // namespace

void SharedTensors::Start(const shared_memory::RegionTable* table) {
  table_ = table;
  used_.clear();
  read_.clear();
}

absl::StatusOr<kernels::Piece> SharedTensors::Source(
    absl::string_view path, const v1::SharedMemoryRef& ref) {
  absl::StatusOr<std::span<std::byte>> bytes =
      Locate(absl::StrCat(path, ".shared_memory"), ref);
  if (!bytes.ok()) return bytes.status();
  read_.push_back({path, *bytes});
  return kernels::Piece(*bytes);
}

absl::StatusOr<std::span<std::byte>> SharedTensors::Destination(
    const v1::SharedMemoryRef& ref) {
  constexpr absl::string_view kPath = "gradient_destination";
  absl::StatusOr<std::span<std::byte>> bytes = Locate(kPath, ref);
  if (!bytes.ok()) return bytes;
  if (ref.offset() % kDestinationAlignment != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(kPath, ".offset: ", ref.offset(), " is not a multiple of ",
                     kDestinationAlignment));
  }
  for (const Read& read : read_) {
    if (!Overlap(read.bytes, *bytes)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        kPath, ": ", bytes->size(), " bytes from ", ref.offset(),
        " of the region overlap with ", read.path, ".shared_memory, ",
        read.bytes.size(), " bytes from ",
        ref.offset() -
            static_cast<uint64_t>(bytes->data() - read.bytes.data())));
  }
  return bytes;
}

absl::StatusOr<std::span<std::byte>> SharedTensors::Locate(
    absl::string_view path, const v1::SharedMemoryRef& ref) {
  if (table_ == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat(path,
                     ": this server has no shared memory; it was started "
                     "without --shared_memory_socket"));
  }
  absl::StatusOr<std::span<std::byte>> region = RegionOf(path, ref.region());
  if (!region.ok()) return region;
  // Never a sum of the two: it could overflow.
  if (ref.offset() > region->size() ||
      ref.byte_size() > region->size() - ref.offset()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", ref.byte_size(), " bytes from ", ref.offset(),
                     " are not within the region's ", region->size()));
  }
  return region->subspan(ref.offset(), ref.byte_size());
}

absl::StatusOr<std::span<std::byte>> SharedTensors::RegionOf(
    absl::string_view path, absl::string_view name) {
  for (const Used& used : used_) {
    if (used.name == name) return used.region->bytes();
  }
  auto found = table_->Find(name);
  if (!found.ok()) {
    return absl::Status(
        found.status().code(),
        absl::StrCat(path, ".region: ", found.status().message()));
  }
  const std::span<std::byte> bytes = (*found)->bytes();
  used_.push_back({*std::move(found), name});
  return bytes;
}

}  // namespace lossd::rpc
