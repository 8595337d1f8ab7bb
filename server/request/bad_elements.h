// Puts into words what the kernels find wrong with elements.
#ifndef LOSSD_SERVER_REQUEST_BAD_ELEMENTS_H_
#define LOSSD_SERVER_REQUEST_BAD_ELEMENTS_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::request {

// The shapes of the client's tensors, by which messages name an element's
// place.
struct ElementShapes {
  std::span<const uint64_t> logits;
  std::span<const uint64_t> targets;
};

// Returns INVALID_ARGUMENT that names the first NaN logit, if the segment
// rejects them, or else the first bad target. An element is named by its index
// in row-major order, in two and more dimensions also by its place, and a
// target also by its value if the host can read it. `totals` are those of
// `segment`, whose element 0 is element `first_element` of the client's tensor.
absl::Status CheckElements(const kernels::Segment& segment,
                           const kernels::Totals& totals,
                           const ElementShapes& shapes,
                           uint64_t first_element = 0);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_BAD_ELEMENTS_H_
