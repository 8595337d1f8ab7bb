#include "bench/load/shared_sample.h"

#include <cstring>
#include <span>
#include <utility>

#include "bench/load/sample_request.h"

namespace lossd::bench {
namespace {

// Each tensor begins at a page of its own, of this size in bytes.
constexpr size_t kPlace = 4096;

size_t PlacesFor(size_t bytes) {
  return (bytes + kPlace - 1) / kPlace * kPlace;
}

}  // namespace

absl::Status SharedSample::Allocate(client::SharedMemory& memory,
                                    size_t bytes) {
  absl::StatusOr<std::unique_ptr<client::SharedRegion>> region;
  if (driver_ == nullptr) {
    region = memory.Allocate(bytes);
  } else {
    absl::StatusOr<client::CudaMemory> made = driver_->Allocate(bytes);
    if (!made.ok()) return made.status();
    on_device_.emplace(*std::move(made));
    const auto described = driver_->Describe(on_device_->bytes());
    if (!described.ok()) return described.status();
    region = memory.Lend(*described);
  }
  if (!region.ok()) return region.status();
  region_ = *std::move(region);
  return absl::OkStatus();
}

absl::Status SharedSample::Write(size_t offset, const std::string& data) {
  const auto to = region_->bytes().subspan(offset, data.size());
  if (driver_ != nullptr) {
    return driver_->CopyToDevice(to, std::as_bytes(std::span(data)));
  }
  std::memcpy(to.data(), data.data(), data.size());
  return absl::OkStatus();
}

absl::StatusOr<SharedSample> SharedSample::Make(
    client::SharedMemory& memory, const client::CudaDriver* driver,
    const v1::ComputeLossRequest& sample) {
  const size_t logits = sample.logits().data().size();
  const size_t targets = sample.targets().data().size();
  const size_t gradient = GradientBytes(sample);
  SharedSample made(driver);
  absl::Status status = made.Allocate(
      memory, PlacesFor(logits) + PlacesFor(targets) + PlacesFor(gradient));
  if (!status.ok()) return status;
  made.request_ = sample;
  size_t offset = 0;
  const auto refer = [&](size_t size, v1::SharedMemoryRef* ref) {
    ref->set_region(made.region_->name());
    ref->set_offset(offset);
    ref->set_byte_size(size);
    offset += PlacesFor(size);
  };
  for (v1::Tensor* tensor :
       {made.request_.mutable_logits(), made.request_.mutable_targets()}) {
    const std::string data = std::move(*tensor->mutable_data());
    status = made.Write(offset, data);
    if (!status.ok()) return status;
    refer(data.size(), tensor->mutable_shared_memory());
  }
  refer(gradient, made.request_.mutable_gradient_destination());
  return made;
}

absl::StatusOr<std::string> SharedSample::WithGradient(
    const std::string& reply) const {
  v1::ComputeLossResponse response;
  if (!response.ParseFromString(reply) || response.has_gradient()) {
    return absl::InternalError("the reply is not one without a gradient");
  }
  const v1::SharedMemoryRef& place = request_.gradient_destination();
  const auto bytes =
      region_->bytes().subspan(place.offset(), place.byte_size());
  v1::Tensor& gradient = *response.mutable_gradient();
  gradient.set_dtype(GradientType(request_));
  std::string& data = *gradient.mutable_data();
  data.resize(bytes.size());
  const auto to = std::as_writable_bytes(std::span(data));
  if (driver_ == nullptr) {
    std::memcpy(to.data(), bytes.data(), bytes.size());
  } else if (absl::Status s = driver_->CopyToHost(to, bytes); !s.ok()) {
    return s;
  }
  return response.SerializeAsString();
}

}  // namespace lossd::bench
