#include "client/bench/shared_sample.h"

#include <cstring>
#include <utility>

#include "client/bench/sample_request.h"

namespace lossd::bench {
namespace {

// Each tensor begins at a page of its own.
constexpr size_t kPlace = 4096;

size_t PlacesFor(size_t bytes) {
  return (bytes + kPlace - 1) / kPlace * kPlace;
}

}  // namespace

absl::StatusOr<SharedSample> SharedSample::Make(
    client::SharedMemory& memory, const v1::ComputeLossRequest& sample) {
  const size_t logits = sample.logits().data().size();
  const size_t targets = sample.targets().data().size();
  const size_t gradient = GradientBytes(sample);
  auto region = memory.Allocate(PlacesFor(logits) + PlacesFor(targets) +
                                PlacesFor(gradient));
  if (!region.ok()) return region.status();
  SharedSample made;
  made.region_ = *std::move(region);
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
    std::memcpy(made.region_->bytes().data() + offset, data.data(),
                data.size());
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
  gradient.set_data(bytes.data(), bytes.size());
  return response.SerializeAsString();
}

}  // namespace lossd::bench
