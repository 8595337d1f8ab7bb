#include "client/cli/watch/attention.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/time/clock.h"

namespace lossd::cli::watch {

Attention::Attention(bool keys) : keys_(keys) {
  sigemptyset(&taken_);
  for (const int number :
       {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH}) {
    sigaddset(&taken_, number);
  }
  pthread_sigmask(SIG_BLOCK, &taken_, &before_);
  signals_ = FileDescriptor(signalfd(-1, &taken_, SFD_CLOEXEC | SFD_NONBLOCK));
}

Attention::~Attention() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

Event Attention::TakeSignal() {
  signalfd_siginfo signal{};
  if (read(signals_.number(), &signal, sizeof(signal)) != sizeof(signal)) {
    return Event::kTime;
  }
  switch (static_cast<int>(signal.ssi_signo)) {
    case SIGWINCH:
      return Event::kResize;
    case SIGTSTP:
      return Event::kSuspend;
    default:
      return Event::kStop;
  }
}

bool Attention::QuitKey() {
  std::array<char, 64> typed{};
  const ssize_t count = read(STDIN_FILENO, typed.data(), typed.size());
  if (count <= 0) {
    keys_ = false;  // the terminal has gone
    return false;
  }
  return std::find(typed.begin(), typed.begin() + count, 'q') !=
         typed.begin() + count;
}

Event Attention::WaitUntil(absl::Time deadline) {
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(
        absl::Ceil(deadline - absl::Now(), absl::Milliseconds(1)));
    std::array<pollfd, 2> ready = {pollfd{signals_.number(), POLLIN, 0},
                                   pollfd{STDIN_FILENO, POLLIN, 0}};
    constexpr int64_t kLongest = int64_t{1} << 30;
    const int count =
        poll(ready.data(), keys_ ? 2 : 1,
             static_cast<int>(std::clamp<int64_t>(left, 0, kLongest)));
    if (ready[0].revents != 0) {
      const Event event = TakeSignal();
      if (event != Event::kTime) return event;
    } else if (count > 0 && QuitKey()) {
      return Event::kStop;
    }
    if (absl::Now() >= deadline) return Event::kTime;
  }
}

void Attention::Suspend() {
  // A stop is the default action, which SIGSTOP has even while the other is
  // blocked.
  raise(SIGSTOP);
}

}  // namespace lossd::cli::watch
