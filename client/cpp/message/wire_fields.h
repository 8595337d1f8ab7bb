// Reads messages by field number.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_WIRE_FIELDS_H_
#define LOSSD_CLIENT_CPP_MESSAGE_WIRE_FIELDS_H_

#include <google/protobuf/empty.pb.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lossd::client {

// Reads and writes single fields, by field number, of messages that gRPC and
// Google define (grpc.health.v1, google.rpc). This library has no generated
// code for them, because a program that links it may have its own, and two
// copies do not link. A message parsed as Empty keeps all its fields as unknown
// ones.
class WireFields {
 public:
  // Returns the fields of a message, or nothing if `bytes` are none.
  static std::optional<WireFields> Parse(const std::string& bytes);

  // Returns a message with one length-delimited field.
  static std::string OneString(int number, const std::string& value);

  // Returns the last value of a varint field, or 0 if there is none.
  uint64_t Varint(int number) const;

  // Returns all values of a length-delimited field.
  std::vector<std::string> Strings(int number) const;

 private:
  google::protobuf::Empty fields_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_WIRE_FIELDS_H_
