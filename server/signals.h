// The signals that a server obeys.
#ifndef LOSSD_SERVER_SIGNALS_H_
#define LOSSD_SERVER_SIGNALS_H_

#include <signal.h>

#include <functional>
#include <string>

namespace lossd {

// TERM, INT and QUIT ask for a drain, HUP asks to read files again, and USR1
// and USR2 ask for nothing, but must not end a server either. PIPE is ignored,
// because a peer that hangs up is an error of one connection.
//
// Make it before other threads start: they inherit that the signals wait for
// WaitForDrain(). Thread-safe.
class Signals {
 public:
  Signals();

  // Waits until a drain is asked for, and returns that signal's number. Calls
  // `reload` for each HUP; without it, HUP asks for nothing. Writes a line
  // about each signal that asks for nothing.
  int WaitForDrain(const std::function<void()>& reload) const;

 private:
  sigset_t signals_;
};

// Returns the signal's name, such as SIGTERM.
std::string SignalName(int number);

}  // namespace lossd

#endif  // LOSSD_SERVER_SIGNALS_H_
