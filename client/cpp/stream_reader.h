#ifndef LOSSD_CLIENT_CPP_STREAM_READER_H_
#define LOSSD_CLIENT_CPP_STREAM_READER_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cpp/loss.h"
#include "grpcpp/support/byte_buffer.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {

// Multiplies elements of a floating-point type, rounding once.
void Scale(v1::DataType dtype, double factor, std::span<std::byte> elements);

// Puts the messages that a stream answers together into a result. The gradient
// lies in `destination`, if that is not empty, else in memory of its own, and
// so do the losses.
class StreamReader {
 public:
  // INVALID_ARGUMENT if the destination has not the gradient's size, or the
  // logits have fewer bytes than their shape asks for: what a mistyped shape
  // asks for may be more than any machine has.
  static absl::StatusOr<StreamReader> Create(const LossRequest& request,
                                             std::span<std::byte> destination);

  // INTERNAL: not what a server answers.
  absl::Status Add(const grpc::ByteBuffer& message);

  // After the stream has ended well.
  absl::StatusOr<LossResult> Finish();

 private:
  // Results as they arrive.
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
  ReceivedTensor TensorOf(Landing& landing) const;

  Shape shape_;
  Landing gradient_;
  Landing losses_;
  std::optional<v1::StreamLossSummary> summary_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_STREAM_READER_H_
