#include "server/signals.h"

#include <pthread.h>
#include <string.h>

#include "absl/strings/str_cat.h"
#include "server/observability/log.h"

namespace lossd {

Signals::Signals() {
  signal(SIGPIPE, SIG_IGN);
  sigemptyset(&signals_);
  for (const int number :
       {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2}) {
    sigaddset(&signals_, number);
  }
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

int Signals::WaitForDrain(const std::function<void()>& reload) const {
  while (true) {
    int number = 0;
    if (sigwait(&signals_, &number) != 0) continue;
    if (number == SIGTERM || number == SIGINT || number == SIGQUIT) {
      return number;
    }
    if (number == SIGHUP && reload != nullptr) {
      reload();
    } else {
      observability::LogInfo("a signal was ignored",
                             {{"signal", SignalName(number)}});
    }
  }
}

std::string SignalName(int number) {
  const char* name = sigabbrev_np(number);
  return name == nullptr ? absl::StrCat("signal ", number)
                         : absl::StrCat("SIG", name);
}

}  // namespace lossd
