#include "tests/integration/server_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <iostream>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace lossd {
namespace {

// Returns a free port below those of outgoing connections.
int FreePort() {
  std::random_device random;
  for (;;) {
    const int port = std::uniform_int_distribution<int>(20'000, 32'000)(random);
    const int probe = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool free = bind(probe, reinterpret_cast<sockaddr*>(&address),
                           sizeof(address)) == 0;
    close(probe);
    if (free) return port;
  }
}

void Require(bool condition, const std::string& what) {
  if (condition) return;
  std::cerr << "ServerProcess: " << what << std::endl;
  std::abort();
}

// Returns the first line of a pipe.
std::string ReadLine(int pipe) {
  std::string line;
  char byte = 0;
  while (read(pipe, &byte, 1) == 1 && byte != '\n') line.push_back(byte);
  return line;
}

}  // namespace

ServerProcess::ServerProcess()
    : address_(absl::StrCat("127.0.0.1:", FreePort())) {
  Start();
}

ServerProcess::~ServerProcess() { End(SIGKILL); }

void ServerProcess::Restart(int signal) {
  End(signal);
  Start();
}

void ServerProcess::Start() {
  std::array<int, 2> pipe = {};
  Require(pipe2(pipe.data(), O_CLOEXEC) == 0, "no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null",
                                   O_WRONLY, 0);
  std::string program = LOSSD_SERVER_PROGRAM;
  std::string listen = absl::StrCat("--listen=", address_);
  std::string metrics = "--metrics_listen=127.0.0.1:0";
  std::array<char*, 4> arguments = {program.data(), listen.data(),
                                    metrics.data(), nullptr};
  const int failure = posix_spawn(&pid_, program.c_str(), &actions, nullptr,
                                  arguments.data(), environ);
  Require(failure == 0, program + " cannot be started");
  posix_spawn_file_actions_destroy(&actions);
  close(pipe[1]);
  const std::string line = ReadLine(pipe[0]);
  close(pipe[0]);
  Require(absl::StartsWith(line, "lossd listening on "), "no ready line");
}

void ServerProcess::End(int signal) {
  kill(pid_, signal);
  waitpid(pid_, nullptr, 0);
}

}  // namespace lossd
