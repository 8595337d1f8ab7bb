// The header with which the server begins a ComputeLosses stream.
#ifndef LOSSD_BASE_STREAM_HEADER_H_
#define LOSSD_BASE_STREAM_HEADER_H_

namespace lossd {

// Its value is GetServerInfoResponse.max_message_bytes, in decimal digits.
inline constexpr char kMaxMessageBytesKey[] = "lossd-max-message-bytes";

}  // namespace lossd

#endif  // LOSSD_BASE_STREAM_HEADER_H_
