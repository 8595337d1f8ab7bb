// A connection whose answers pass as slowly as a test wants.
#ifndef LOSSD_TESTS_INTEGRATION_SLOW_LINK_H_
#define LOSSD_TESTS_INTEGRATION_SLOW_LINK_H_

#include <cstdint>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace lossd {

// Passes one client's connection on to a server of loopback. What the client
// sends passes at once, and what the server sends as far as Let() says.
class SlowLink {
 public:
  explicit SlowLink(int server_port);
  ~SlowLink();

  std::string address() const;
  // Lets so many more bytes of the server pass.
  void Let(int64_t bytes);
  // Waits until all of these have passed. Returns false after 60 s.
  bool AwaitPassed();

 private:
  void Run(int server_port);
  void PassDown();
  void PassUp();

  const int listener_;
  int client_ = -1;
  int server_ = -1;
  absl::Mutex mu_;
  int64_t left_ ABSL_GUARDED_BY(mu_) = 0;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_SLOW_LINK_H_
