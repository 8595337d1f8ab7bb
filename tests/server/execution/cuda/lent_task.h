// A request that may lend its tensors to a device, or keep them in shared
// memory.
#ifndef LOSSD_TESTS_SERVER_EXECUTION_CUDA_LENT_TASK_H_
#define LOSSD_TESTS_SERVER_EXECUTION_CUDA_LENT_TASK_H_

#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "server/shared_memory/region_table.h"
#include "tests/server/execution/cuda/lent_files.h"
#include "tests/server/execution/data_task.h"

namespace lossd::execution::cuda {

// The bits of the loss and the gradient.
struct LentAnswer {
  uint64_t loss = 0;
  std::vector<uint32_t> gradient;
  bool operator==(const LentAnswer&) const = default;
};

// A DataTask that holds its region like a call, from Lend() or Share() until it
// is answered. The region's connection is the seed.
class LentTask : public DataTask {
 public:
  LentTask(uint64_t elements, unsigned seed)
      : DataTask(elements, seed), owner_(seed) {}

  // Moves logits, targets and gradient to an allocation of this process and
  // lends that to `device` ("cuda/0").
  absl::Status Lend(shared_memory::RegionTable& table,
                    std::string_view device) {
    const size_t size = (segment.element_count * sizeof(float) + 63) / 64 * 64;
    allocation_.emplace(3 * size);
    Copy(segment.logits, 0);
    Copy(segment.targets, size);
    const auto made = table.RegisterLent(owner_, Offer(device));
    if (!made.ok()) return made.status();
    region_ = *table.Find(made->name);
    std::byte* const base = region_->bytes().data();
    pieces_ = {
        kernels::Piece(base, segment.element_count * sizeof(float)),
        kernels::Piece(base + size, segment.element_count * sizeof(float))};
    segment.device = region_->device().value_or(kernels::kHost);
    segment.logits.pieces = {&pieces_[0], 1};
    segment.targets.pieces = {&pieces_[1], 1};
    segment.logits.on_device = segment.targets.on_device = true;
    segment.gradient = base + 2 * size;
    segment.gradient_on_device = true;
    gradient_ = allocation_->bytes().data() + 2 * size;
    return absl::OkStatus();
  }
  // Moves logits, targets and gradient to a region of shared memory.
  absl::Status Share(shared_memory::RegionTable& table) {
    const size_t bytes = segment.element_count * sizeof(float);
    const size_t size = (bytes + 63) / 64 * 64;
    const auto made = table.Register(owner_, 3 * size);
    if (!made.ok()) return made.status();
    region_ = *table.Find(made->name);
    std::byte* const base = region_->bytes().data();
    std::memcpy(base, segment.logits.pieces.front().data(), bytes);
    std::memcpy(base + size, segment.targets.pieces.front().data(), bytes);
    pieces_ = {kernels::Piece(base, bytes), kernels::Piece(base + size, bytes)};
    segment.logits.pieces = {&pieces_[0], 1};
    segment.targets.pieces = {&pieces_[1], 1};
    segment.logits.pinned = segment.targets.pinned = region_->pinned();
    segment.gradient = base + 2 * size;
    segment.gradient_pinned = region_->pinned();
    copy_.resize(bytes);
    return absl::OkStatus();
  }
  // Releases the region, as a client does that dies or changes its mind.
  void TakeBack(shared_memory::RegionTable& table) { table.ReleaseAll(owner_); }
  bool lent() const { return segment.gradient_on_device; }

  void OnComputed(const batching::Computed& computed) override {
    if (!copy_.empty()) {
      std::memcpy(copy_.data(), segment.gradient, copy_.size());
      gradient_ = copy_.data();
    }
    region_.reset();
    DataTask::OnComputed(computed);
  }
  void OnDropped(const absl::Status& why) override {
    region_.reset();
    DataTask::OnDropped(why);
  }

  // Returns the answer as the client sees it.
  LentAnswer Seen() {
    LentAnswer seen{std::bit_cast<uint64_t>(answer.totals.loss_sum), {}};
    seen.gradient.resize(segment.element_count);
    std::memcpy(seen.gradient.data(),
                gradient_ != nullptr ? gradient_ : segment.gradient,
                seen.gradient.size() * sizeof(float));
    return seen;
  }

  // Computes the answer on the CPU. The task must not have lent its tensors.
  LentAnswer ByTheCpu() {
    const auto& kernel = kernels::cpu::BestInstructionSet();
    std::vector<kernels::BlockPartial> blocks(kernels::BlockCount(segment));
    kernel.count_blocks(segment, 0, blocks);
    const double scale = kernels::GradientScale(
        segment, kernels::NormalizerOf(segment, kernels::Combine(blocks)));
    kernel.compute_blocks(segment, scale, 0, blocks);
    answer.totals = kernels::Combine(blocks);
    return Seen();
  }

 private:
  void Copy(const kernels::Tensor& tensor, size_t to) {
    const kernels::Piece piece = tensor.pieces.front();
    std::memcpy(allocation_->bytes().data() + to, piece.data(), piece.size());
  }
  v1::RegisterDeviceMemory Offer(std::string_view device) const {
    const auto bytes = [](const auto& array) {
      return std::string(reinterpret_cast<const char*>(array.data()),
                         array.size());
    };
    v1::RegisterDeviceMemory offer;
    offer.set_device_uuid(bytes(FakeUuid(device)));
    offer.set_ipc_handle(bytes(allocation_->handle()));
    offer.set_byte_size(allocation_->bytes().size());
    return offer;
  }

  const shared_memory::Connection owner_;
  std::optional<FakeAllocation> allocation_;
  std::shared_ptr<const shared_memory::Region> region_;
  std::array<kernels::Piece, 2> pieces_;
  std::vector<std::byte> copy_;          // of the gradient in shared memory
  const std::byte* gradient_ = nullptr;  // as the client has it
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_TESTS_SERVER_EXECUTION_CUDA_LENT_TASK_H_
