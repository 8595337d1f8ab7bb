// The activity of a server on a terminal.
#ifndef LOSSD_CLIENT_CLI_WATCH_SCREEN_H_
#define LOSSD_CLIENT_CLI_WATCH_SCREEN_H_

#include <termios.h>

#include <string>
#include <vector>

#include "client/cli/watch/view.h"

namespace lossd::cli::watch {

// Returns true if standard output is a terminal that knows ECMA-48's control
// sequences.
bool HasScreen();

// Returns what draws `lines` on a screen of that size: each from the left
// margin, none wrapped, and nothing of an earlier drawing left. Control
// characters of the lines become blanks.
std::string Drawing(const std::vector<std::string>& lines, size_t rows,
                    size_t columns);

// Shows a page that is drawn anew for each interval, on the terminal's
// alternate screen, and leaves the terminal as it was when it is destroyed.
class Screen final : public View {
 public:
  // `title` stands in the first line.
  explicit Screen(std::string title);
  ~Screen() override;

  void Begin() override;
  void Show(const Activity& activity) override;
  // Keeps the last numbers below the reason.
  void ShowAbsence(absl::Time time, const absl::Status& status) override;
  void Pause() override;
  void Resume() override;
  void Redraw() override;

 private:
  void ShowBelow(const std::string& state);

  const std::string title_;
  std::string state_;
  std::vector<std::string> page_;
  bool has_keyboard_ = false;
  termios keyboard_{};  // as it was, if there is one
};

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_SCREEN_H_
