// Runs the server as a process of its own, which can be killed.
#ifndef LOSSD_TESTS_INTEGRATION_SERVER_PROCESS_H_
#define LOSSD_TESTS_INTEGRATION_SERVER_PROCESS_H_

#include <sys/types.h>

#include <string>

namespace lossd {

// A lossd on one address of loopback, where it can be ended and started again.
// Aborts the test's process if the server cannot start. One thread uses it.
class ServerProcess {
 public:
  // Starts a server on a port that no outgoing connection takes.
  ServerProcess();
  // Kills it.
  ~ServerProcess();

  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }

  // Sends the signal, waits for the end, and starts the server again.
  void Restart(int signal);

 private:
  void Start();
  void End(int signal);

  std::string address_;
  pid_t pid_ = 0;
};

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_SERVER_PROCESS_H_
