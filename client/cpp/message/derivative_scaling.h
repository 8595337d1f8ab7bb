// The types of a stream's derivatives, and their scaling by the client.
//
// If only the end of a stream knows the normalizer, the server sends the
// derivatives of the plain sum, and the client scales them (D26). They may be
// much smaller or larger than the results. So the client asks for them in the
// type of the server's arithmetic, and rounds them to their own type
// afterwards.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_DERIVATIVE_SCALING_H_
#define LOSSD_CLIENT_CPP_MESSAGE_DERIVATIVE_SCALING_H_

#include <cstddef>
#include <span>

#include "client/cpp/message/loss.h"
#include "lossd/v1/tensor.pb.h"

namespace lossd::client {

// Returns whether targets or weights decide the divisor of a mean or of a row.
bool DivisorIsCounted(const LossRequest& request);

// Returns the type of the request's gradient and second derivative.
v1::DataType DerivativeType(const LossRequest& request);

// Returns the type in which a stream of the request sends them.
v1::DataType SentDerivativeType(const LossRequest& request);

// Elements of a floating-point type, at any address.
struct Elements {
  v1::DataType dtype = v1::DATA_TYPE_FLOAT32;
  std::span<std::byte> bytes;
};

// Sets `to` to the elements of `from`, multiplied by `factor` as the server
// multiplies derivatives by logits of type `logits`, and rounded. The two have
// as many elements and may be the same, but do not overlap otherwise.
void Scale(v1::DataType logits, double factor, const Elements& from,
           const Elements& to);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_DERIVATIVE_SCALING_H_
