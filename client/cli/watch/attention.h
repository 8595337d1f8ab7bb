// Signals and keys that come while a program waits.
#ifndef LOSSD_CLIENT_CLI_WATCH_ATTENTION_H_
#define LOSSD_CLIENT_CLI_WATCH_ATTENTION_H_

#include <csignal>

#include "absl/time/time.h"
#include "base/file_descriptor.h"

namespace lossd::cli::watch {

enum class Event {
  kTime,     // nothing happened until the deadline
  kStop,     // Ctrl-C, SIGTERM, SIGHUP, or the key q
  kSuspend,  // Ctrl-Z
  kResize,   // the terminal has another size
};

// Takes the signals of the calling thread, and of threads that it starts later,
// for as long as it lives, so that they interrupt nothing. Make it before other
// threads. Not thread-safe.
class Attention {
 public:
  // With `keys`, the key q on standard input is read too, and others are
  // dropped.
  explicit Attention(bool keys);
  ~Attention();
  Attention(const Attention&) = delete;
  Attention& operator=(const Attention&) = delete;

  // Returns the next event, or kTime at `deadline`.
  Event WaitUntil(absl::Time deadline);

  // Becomes readable with the next signal, which WaitUntil() then returns.
  int descriptor() const { return signals_.number(); }

  // Stops the process as Ctrl-Z does; returns when it is continued.
  void Suspend();

 private:
  bool QuitKey();
  Event TakeSignal();

  bool keys_;
  sigset_t taken_;
  sigset_t before_;
  FileDescriptor signals_;
};

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_ATTENTION_H_
