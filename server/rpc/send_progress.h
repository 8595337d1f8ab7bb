// Notices that a message is being sent, however slowly.
#ifndef LOSSD_SERVER_RPC_SEND_PROGRESS_H_
#define LOSSD_SERVER_RPC_SEND_PROGRESS_H_

#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace lossd::rpc {

// gRPC tells when the whole of a message is out, which takes minutes if the
// message is large and the link slow. So a large message is cut into pieces of
// memory, of which gRPC lets go one by one as they are sent. Used by one
// thread; gRPC may let go on any.
class SendProgress {
 public:
  // Messages of more bytes are cut into pieces of at most this size.
  static constexpr size_t kPieceBytes = size_t{64} << 10;

  // Returns the message with the same bytes, whose pieces are watched.
  grpc::ByteBuffer Watch(const grpc::ByteBuffer& message);

  // Returns whether gRPC has let go of a piece since the last call.
  bool HasMoved();

 private:
  // Shared with the pieces, because gRPC may keep them for longer.
  const std::shared_ptr<std::atomic<uint64_t>> sent_ =
      std::make_shared<std::atomic<uint64_t>>(0);
  uint64_t seen_ = 0;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_SEND_PROGRESS_H_
