// Reads the replies of StreamLoss.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_STREAM_READER_H_
#define LOSSD_CLIENT_CPP_MESSAGE_STREAM_READER_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cpp/message/derivative_scaling.h"
#include "client/cpp/message/loss.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {

// Puts the replies of a stream together into a result. The gradient lies in the
// destination if there is one, else in memory of its own, where the other
// results lie too. Derivatives that are sent in a wider type than the result's
// take memory of that type too, until Finish() has rounded them. Not
// thread-safe.
class StreamReader {
 public:
  // Returns a reader with memory for the results. `destination` is empty or
  // gets the gradient. INVALID_ARGUMENT if it has another size than the
  // gradient, or if the logits have fewer bytes than their shape needs, because
  // a mistyped shape may need more memory than there is.
  static absl::StatusOr<StreamReader> Create(const LossRequest& request,
                                             std::span<std::byte> destination);

  // Adds one reply. INTERNAL if no server answers that.
  absl::Status Add(const grpc::ByteBuffer& message);

  // Returns the result, after the stream has ended with OK. INTERNAL if a part
  // is missing.
  absl::StatusOr<LossResult> Finish();

 private:
  // The memory of a result, and where its bytes are received.
  struct Landing {
    Elements result;
    std::unique_ptr<std::byte[]> owned;  // unless the result is the caller's
    Elements sent;                       // is `result` if the types are equal
    std::unique_ptr<std::byte[]> wide;   // of `sent`, if the types differ
    size_t arrived = 0;
    bool wanted = false;
  };
  StreamReader() = default;
  static void Prepare(v1::DataType dtype, int64_t elements,
                      std::span<std::byte> destination, Landing& landing);
  // Makes elements of type `sent` arrive in memory of their own.
  static void Widen(v1::DataType sent, int64_t elements, Landing& landing);
  // Scales the derivatives, if that is left to the client, and rounds them.
  void FinishDerivatives();
  static ReceivedTensor TensorOf(Landing& landing, const Shape& shape);

  // Returns where the bytes of this field of a response go, or null.
  Landing* LandingOf(uint32_t tag);

  v1::DataType logits_ = v1::DATA_TYPE_FLOAT32;
  Shape shape_;
  Shape losses_shape_;
  Landing gradient_;
  Landing second_derivative_;
  Landing losses_;
  std::optional<v1::StreamLossSummary> summary_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_STREAM_READER_H_
