#include "server/request/shared_tensors.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/base/device_lending.h"
#include "server/base/status_macros.h"

namespace lossd::request {
namespace {

// Equal addresses are equal bytes: both pieces lie in mappings of this process,
// where a GPU's memory has addresses of its own too.
bool Overlap(kernels::Piece a, kernels::Piece b) {
  const std::less<const std::byte*> before;
  return !a.empty() && !b.empty() && before(a.data(), b.data() + b.size()) &&
         before(b.data(), a.data() + a.size());
}

// Returns the path of a tensor's reference to shared memory.
std::string PathOf(absl::string_view field) {
  return absl::StrCat(field, ".shared_memory");
}

absl::Status CheckAlignment(absl::string_view path,
                            const v1::SharedMemoryRef& ref,
                            kernels::Piece bytes, kernels::ElementType type) {
  const uint64_t width = kernels::ByteSize(type, 1);
  if (reinterpret_cast<uintptr_t>(bytes.data()) % width == 0) {
    return absl::OkStatus();
  }
  const std::string_view name = kernels::Name(type);
  return absl::InvalidArgumentError(absl::StrCat(
      path, ".offset: ", ref.offset(), " is not a multiple of ", width,
      ", as the offset of ", absl::string_view(name.data(), name.size()),
      " on a GPU must be"));
}

}  // namespace

void SharedTensors::Start(const shared_memory::RegionTable* table,
                          bool permitted) {
  table_ = table;
  permitted_ = permitted;
  used_.clear();
  taken_.clear();
  device_ = kernels::kHost;
}

absl::StatusOr<SharedBytes> SharedTensors::Source(
    absl::string_view path, const v1::SharedMemoryRef& ref,
    kernels::ElementType type) {
  absl::StatusOr<SharedBytes> found = Locate(PathOf(path), ref);
  if (!found.ok()) return found;
  if (found->on_device()) {
    RETURN_IF_ERROR(CheckAlignment(PathOf(path), ref, found->bytes, type));
    NoteDevice(*found);
  }
  taken_.push_back({path, /*is_source=*/true, found->bytes, ref.offset()});
  return found;
}

absl::StatusOr<SharedBytes> SharedTensors::Destination(
    absl::string_view path, const v1::SharedMemoryRef& ref) {
  absl::StatusOr<SharedBytes> found = Locate(path, ref);
  if (!found.ok()) return found;
  if (ref.offset() % kRegionAlignment != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".offset: ", ref.offset(), " is not a multiple of ",
                     kRegionAlignment));
  }
  RETURN_IF_ERROR(CheckOverlap(path, ref, found->bytes));
  NoteDevice(*found);
  taken_.push_back({path, /*is_source=*/false, found->bytes, ref.offset()});
  return found;
}

absl::Status SharedTensors::CheckOverlap(
    absl::string_view path, const v1::SharedMemoryRef& ref,
    std::span<std::byte> destination) const {
  for (const Taken& taken : taken_) {
    if (!Overlap(taken.bytes, destination)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", destination.size(), " bytes from ",
                     ref.offset(), " of the region overlap with ", taken.name(),
                     ", ", taken.bytes.size(), " bytes from ", taken.offset));
  }
  return absl::OkStatus();
}

absl::Status SharedTensors::CheckDevice(absl::string_view path,
                                        int device) const {
  constexpr int kHost = kernels::kHost;
  if (device == kHost || device_ == kHost || device == device_) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": memory of another GPU than ", taken_[device_at_].name(),
      " is; one GPU computes a request"));
}

// Call it before the bytes are appended to taken_.
void SharedTensors::NoteDevice(const SharedBytes& bytes) {
  if (!bytes.on_device()) return;
  if (device_ == kernels::kHost) device_at_ = taken_.size();
  device_ = bytes.device;
}

std::string SharedTensors::Taken::name() const {
  return is_source ? PathOf(path) : std::string(path);
}

absl::StatusOr<SharedBytes> SharedTensors::Locate(
    absl::string_view path, const v1::SharedMemoryRef& ref) {
  if (table_ == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat(path,
                     ": this server has no shared memory; it was started "
                     "without --shared_memory_socket"));
  }
  // This comes before the region is looked for, so that nothing tells whether
  // there is one.
  if (!permitted_) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": the client's token may not use shared_memory"));
  }
  const auto region = RegionOf(path, ref.region());
  if (!region.ok()) return region.status();
  const std::span<std::byte> bytes = (*region)->bytes();
  // The sum of the two could overflow.
  if (ref.offset() > bytes.size() ||
      ref.byte_size() > bytes.size() - ref.offset()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", ref.byte_size(), " bytes from ", ref.offset(),
                     " are not within the region's ", bytes.size()));
  }
  const int device = (*region)->device().value_or(kernels::kHost);
  RETURN_IF_ERROR(CheckDevice(path, device));
  return SharedBytes{bytes.subspan(ref.offset(), ref.byte_size()), device,
                     (*region)->pinned()};
}

absl::StatusOr<const shared_memory::Region*> SharedTensors::RegionOf(
    absl::string_view path, absl::string_view name) {
  for (const Used& used : used_) {
    if (used.name == name) return used.region.get();
  }
  auto found = table_->Find(name);
  if (!found.ok()) {
    return absl::Status(
        found.status().code(),
        absl::StrCat(path, ".region: ", found.status().message()));
  }
  used_.push_back({*std::move(found), name});
  return used_.back().region.get();
}

}  // namespace lossd::request
