// Numbers for a person's eye: three or four digits and a unit.
#ifndef LOSSD_CLIENT_CLI_WATCH_QUANTITY_H_
#define LOSSD_CLIENT_CLI_WATCH_QUANTITY_H_

#include <optional>
#include <string>

namespace lossd::cli::watch {

// Returns 0.25, 12.5, 4096, 12.3k, 4.56M, 7.89G: whole numbers below 10,000
// have all their digits.
std::string CountText(double count);

// Returns 990 B, 1.50 KiB, 12.3 MiB.
std::string BytesText(double bytes);

// Returns 0.50 us, 12.3 us, 4.56 ms, 1.20 s.
std::string SecondsText(double seconds);

// Return the text of a number, or - for none.
std::string CountText(const std::optional<double>& count);
std::string SecondsText(const std::optional<double>& seconds);

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_QUANTITY_H_
