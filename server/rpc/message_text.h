// How values are written in the messages of statuses.
#ifndef LOSSD_SERVER_RPC_MESSAGE_TEXT_H_
#define LOSSD_SERVER_RPC_MESSAGE_TEXT_H_

#include <cstdint>
#include <span>
#include <string>

namespace lossd::rpc {

// The shortest text that reads back as `value`; "NaN", "inf", "-inf".
std::string NumberText(double value);

// "[2, 3]"; long shapes are cut.
std::string ShapeText(std::span<const uint64_t> dims);

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_MESSAGE_TEXT_H_
