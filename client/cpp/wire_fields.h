#ifndef LOSSD_CLIENT_CPP_WIRE_FIELDS_H_
#define LOSSD_CLIENT_CPP_WIRE_FIELDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "google/protobuf/empty.pb.h"

namespace lossd::client {

// Reads and writes single fields, by field number, of messages that gRPC and
// Google define (grpc.health.v1, google.rpc). This library has no generated
// code for them, because a program that links it may have its own, and two
// copies do not link. A message parsed as Empty keeps all its fields as unknown
// ones.
class WireFields {
 public:
  // Absent if `bytes` are no protobuf message.
  static std::optional<WireFields> Parse(const std::string& bytes);

  // A message with one length-delimited field.
  static std::string OneString(int number, const std::string& value);

  // The last value of a varint field; 0 if there is none, as in proto3.
  uint64_t Varint(int number) const;

  // Every value of a length-delimited field.
  std::vector<std::string> Strings(int number) const;

 private:
  google::protobuf::Empty fields_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_WIRE_FIELDS_H_
