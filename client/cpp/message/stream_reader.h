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
#include "client/cpp/message/loss.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {

// Multiplies elements of a floating-point type by `factor`, rounding once.
void Scale(v1::DataType dtype, double factor, std::span<std::byte> elements);

// Puts the replies of a stream together into a result. The gradient lies in the
// destination if there is one, else in memory of its own, where the other
// results lie too. Not thread-safe.
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
  // The memory into which results are received.
  struct Landing {
    v1::DataType dtype = v1::DATA_TYPE_FLOAT32;
    std::unique_ptr<std::byte[]> owned;
    std::span<std::byte> memory;
    size_t arrived = 0;
    bool wanted = false;
  };
  StreamReader() = default;
  static void Prepare(v1::DataType dtype, int64_t elements,
                      std::span<std::byte> destination, Landing& landing);
  static ReceivedTensor TensorOf(Landing& landing, const Shape& shape);

  Shape shape_;
  Shape losses_shape_;
  // Returns where the bytes of this field of a response go, or null.
  Landing* LandingOf(uint32_t tag);

  Landing gradient_;
  Landing second_derivative_;
  Landing losses_;
  std::optional<v1::StreamLossSummary> summary_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_STREAM_READER_H_
