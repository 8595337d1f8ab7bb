// The addresses of the servers of a list.
#ifndef LOSSD_CLIENT_CPP_LOOKUPS_H_
#define LOSSD_CLIENT_CPP_LOOKUPS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/address.h"

namespace lossd::client {

// Makes one target for gRPC of a list of servers. gRPC takes only IP addresses
// for a list, so names are looked up here, and again every 30 s while Target()
// is called, as gRPC does for one name. A name that is not found, or for which
// there is no thread, keeps the addresses that it had, and a warning says once
// that it is not found. Thread-safe.
class Lookups {
 public:
  // Returns the IP addresses of a host.
  using Resolver = std::function<absl::StatusOr<std::vector<std::string>>(
      const std::string& host)>;
  // Asks the C library.
  static absl::StatusOr<std::vector<std::string>> Resolve(
      const std::string& host);

  // Begins `work` on a thread of its own. Throws std::system_error if there is
  // none to be had.
  using Starter = std::function<void(std::function<void()> work)>;
  // Starts a std::thread.
  static void StartThread(std::function<void()> work);

  // Takes a warning, on the thread that looks names up.
  using Warn = std::function<void(const std::string& warning)>;
  // Writes to gRPC's log.
  static void Log(const std::string& warning);

  // Looks the names up, which may take as long as the resolver does.
  explicit Lookups(std::vector<Address> listed, Resolver resolver = &Resolve,
                   Starter start = &StartThread, Warn warn = &Log);

  // Returns the target of all addresses, which is the same whatever their order
  // was, and does not wait. Without any address, it is that of the first name
  // alone, so that gRPC says what is wrong, or waits.
  std::string Target();

  // As Target(), at another time than now.
  std::string TargetAt(absl::Time now);

 private:
  struct State;

  const Starter start_;
  // Threads that look names up share it, because they may outlive this object.
  const std::shared_ptr<State> state_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_LOOKUPS_H_
