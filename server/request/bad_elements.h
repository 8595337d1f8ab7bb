// Puts into words what the kernels find wrong with elements.
#ifndef LOSSD_SERVER_REQUEST_BAD_ELEMENTS_H_
#define LOSSD_SERVER_REQUEST_BAD_ELEMENTS_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "kernels/sigmoid_loss.h"
#include "server/wire/field.h"

namespace lossd::request {

// The shapes of the client's tensors, by which messages name an element's
// place.
using FieldShapes = wire::PerField<std::span<const uint64_t>>;

// Returns INVALID_ARGUMENT that names the first NaN logit, if the segment
// rejects them, or else the first bad target, or else the first bad element of
// weights, pos_weight or upstream_gradient. An element is named by its index in
// its own tensor in row-major order, in two and more dimensions also by its
// place, and but for logits also by its value if the host can read it. `totals`
// are those of `segment`, whose element 0 is element `first_element` of the
// client's logits.
absl::Status CheckElements(const kernels::Segment& segment,
                           const kernels::Totals& totals,
                           const FieldShapes& shapes,
                           uint64_t first_element = 0);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_BAD_ELEMENTS_H_
