#include "tests/fuzz/segment_check.h"

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/cpu_kernel.h"
#include "kernels/rows.h"
#include "server/batching/task.h"
#include "tests/fuzz/input.h"
#include "tests/kernels/owned_segment.h"

namespace lossd::fuzz {
namespace {

using kernels::ByteSize;
using kernels::Segment;
using kernels::SegmentAnswer;
using kernels::Tensor;

uint64_t BytesOf(const Tensor& tensor) {
  uint64_t bytes = 0;
  for (const kernels::Piece& piece : tensor.pieces) bytes += piece.size();
  return bytes;
}

void CheckBytes(const char* name, const Tensor& tensor, uint64_t elements) {
  if (BytesOf(tensor) != ByteSize(tensor.type, elements)) {
    Fail(absl::StrCat(name, ": ", BytesOf(tensor), " bytes for ", elements,
                      " elements"));
  }
}

// Fails unless the operand's bytes end with the last element that is read.
void CheckOperand(const char* name, const kernels::Operand& operand,
                  const kernels::Shape& shape) {
  if (!operand.present()) return;
  uint64_t last = 0;
  for (int k = 0; k < shape.rank; ++k) {
    const auto at = static_cast<size_t>(k);
    last += (shape.dims[at] - 1) * operand.strides[at];
  }
  CheckBytes(name, operand.tensor, last + 1);
}

void CheckOnes(const kernels::Ones& ones, uint64_t elements) {
  uint64_t next = 0;
  for (const uint64_t index : ones.indices) {
    if (index < next || index >= elements) Fail("ones: not rising, or too far");
    next = index + 1;
  }
  if (ones.count == 0) return;
  if (!ones.indices.empty()) Fail("ones: a list and a progression");
  if (ones.stride == 0 || ones.first >= elements ||
      ones.count - 1 > (elements - 1 - ones.first) / ones.stride) {
    Fail("ones: the progression leaves the elements");
  }
}

struct Freed {
  void operator()(std::byte* memory) const {
    ::operator delete(memory, std::align_val_t(64));
  }
};
using Memory = std::unique_ptr<std::byte[], Freed>;

// Returns memory of exactly `size` bytes with the alignment that the kernels
// need.
Memory Allocate(uint64_t size) {
  if (size == 0) return nullptr;
  return Memory(
      static_cast<std::byte*>(::operator new(size, std::align_val_t(64))));
}

// A task that nobody waits for.
class PlainTask : public batching::Task {
 public:
  void OnComputed(const batching::Computed&) override {}
  void OnDropped(const absl::Status&) override {}
};

// Returns the losses of a computed segment's rows.
std::vector<std::byte> RowLosses(const Segment& segment) {
  const uint64_t size =
      ByteSize(segment.losses_type, kernels::CompletedRows(segment));
  const Memory losses = Allocate(size);
  kernels::RowLossWriter writer(&segment, losses.get());
  kernels::RowAccumulator().Add(
      segment, [&writer](const auto& totals) { writer.Add(totals); });
  return {losses.get(), losses.get() + size};
}

SegmentAnswer Compute(const kernels::cpu::InstructionSet& set,
                      const Segment& segment, const ResultBytes& bytes) {
  const Memory gradient = Allocate(bytes.gradient);
  const Memory second = Allocate(bytes.second_derivative);
  const bool has_rows = kernels::HasRows(segment.options);
  const uint64_t losses_bytes = has_rows ? 0 : bytes.losses;
  const Memory losses = Allocate(losses_bytes);
  PlainTask task;
  task.segment = segment;
  task.segment.gradient = gradient.get();
  task.segment.second_derivative = second.get();
  task.segment.losses = losses.get();
  batching::Prepare(task);
  std::vector<kernels::BlockPartial> partials(kernels::BlockCount(segment));
  if (task.phase == batching::Task::Phase::kCounting) {
    set.count_blocks(task.segment, 0, partials);
    batching::BeginComputing(task, kernels::Combine(partials));
  }
  set.compute_blocks(task.segment, task.gradient_scale, 0, partials);
  const batching::Computed computed =
      batching::AnswerOf(task, kernels::Combine(partials));
  SegmentAnswer answer = {
      kernels::LossOf(segment, computed.totals, computed.normalizer),
      computed.normalizer,
      computed.totals,
      {gradient.get(), gradient.get() + bytes.gradient},
      {losses.get(), losses.get() + losses_bytes},
      {second.get(), second.get() + bytes.second_derivative}};
  if (has_rows) answer.losses = RowLosses(task.segment);
  return answer;
}

}  // namespace

void CheckBounds(const Segment& segment) {
  uint64_t elements = 1;
  for (int k = 0; k < segment.shape.rank; ++k) {
    elements *= segment.shape.dims[static_cast<size_t>(k)];
  }
  if (elements != segment.element_count) Fail("a shape of other elements");
  if (elements == 0) return;  // nothing is read
  CheckBytes("logits", segment.logits, elements);
  if (segment.targets.present()) {
    CheckBytes("targets", segment.targets, elements);
  }
  CheckOnes(segment.ones, elements);
  CheckOperand("weights", segment.weights, segment.shape);
  CheckOperand("pos_weight", segment.pos_weight, segment.shape);
  CheckOperand("upstream", segment.upstream, segment.shape);
}

void CheckKernels(const Segment& segment, const ResultBytes& bytes) {
  const auto sets = kernels::cpu::InstructionSets();
  const std::string difference =
      kernels::Difference(Compute(sets.front(), segment, bytes),
                          Compute(sets.back(), segment, bytes));
  if (!difference.empty()) {
    Fail(std::string(sets.front().name) + " and " +
         std::string(sets.back().name) + " differ in " + difference);
  }
}

}  // namespace lossd::fuzz
