#include "client/cli/watch/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/cli/watch/activity_text.h"

namespace lossd::cli::watch {
namespace {

// Control sequences of ECMA-48 and xterm.
constexpr char kAlternateScreen[] = "\x1b[?1049h\x1b[?25l";
constexpr char kNormalScreen[] = "\x1b[?25h\x1b[?1049l";
constexpr char kHome[] = "\x1b[H";
constexpr char kClearLine[] = "\x1b[K";
constexpr char kClearBelow[] = "\x1b[J";

void Write(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

winsize SizeOfTerminal() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 ||
      size.ws_col == 0) {
    size.ws_row = 24;
    size.ws_col = 80;
  }
  return size;
}

}  // namespace

bool HasScreen() {
  const char* terminal = std::getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 && terminal != nullptr &&
         absl::string_view(terminal) != "dumb" && *terminal != '\0';
}

std::string Drawing(const std::vector<std::string>& lines, size_t rows,
                    size_t columns) {
  std::string drawing = kHome;
  const size_t shown = std::min(lines.size(), rows);
  for (size_t i = 0; i < shown; ++i) {
    std::string line = lines[i].substr(0, columns);
    for (char& c : line) {
      if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
    }
    absl::StrAppend(&drawing, i > 0 ? "\r\n" : "", line,
                    line.size() < columns ? kClearLine : "");
  }
  if (shown < rows) absl::StrAppend(&drawing, kClearBelow);
  return drawing;
}

Screen::Screen(std::string title) : title_(std::move(title)) { Resume(); }

Screen::~Screen() { Pause(); }

void Screen::Resume() {
  has_keyboard_ = tcgetattr(STDIN_FILENO, &keyboard_) == 0;
  if (has_keyboard_) {
    termios quiet = keyboard_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    // A background process that changed the terminal would be stopped.
    if (tcgetpgrp(STDIN_FILENO) == getpgrp()) {
      tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
    }
  }
  Write(kAlternateScreen);
  Redraw();
}

void Screen::Pause() {
  Write(kNormalScreen);
  if (has_keyboard_) tcsetattr(STDIN_FILENO, TCSANOW, &keyboard_);
}

void Screen::Begin() { ShowBelow("waiting for the end of the first interval"); }

void Screen::Show(const Activity& activity) {
  page_ = ActivityScreen(activity);
  ShowBelow("");
}

void Screen::ShowAbsence(absl::Time time, const absl::Status& status) {
  ShowBelow(absl::StrCat(
      absl::FormatTime("%H:%M:%S", time, absl::LocalTimeZone()), " away: ",
      status.message(), page_.empty() ? "" : "; what was last seen:"));
}

void Screen::ShowBelow(const std::string& state) {
  state_ = state;
  Redraw();
}

void Screen::Redraw() {
  std::vector<std::string> lines = {title_};
  if (!state_.empty()) lines.push_back(state_);
  lines.insert(lines.end(), page_.begin(), page_.end());
  const winsize size = SizeOfTerminal();
  Write(Drawing(lines, size.ws_row, size.ws_col));
}

}  // namespace lossd::cli::watch
