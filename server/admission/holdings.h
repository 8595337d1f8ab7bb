// What each connection holds of the budgets.
#ifndef LOSSD_SERVER_ADMISSION_HOLDINGS_H_
#define LOSSD_SERVER_ADMISSION_HOLDINGS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lossd::admission {

struct Holding {
  int64_t bytes = 0;
  int64_t requests = 0;
  int64_t answered = 0;  // of the requests
};

// Counts by flow, in memory that neither grows nor is cleaned up: a count-min
// sketch. A flow counts in one cell of each row, which it may share with
// others, and holds the least of what its cells say. So Of() is never less than
// the truth, and more only while flows in both of its cells hold something: of
// two flows that is one pair in 2^24. A flow that has given everything back has
// left nothing behind.
//
// Thread-safe; no lock is taken. A reader may see a change of one row or one
// count and not yet of the other; a flow whose `requests` are 0 has no bytes.
class Holdings {  // D28
 public:
  Holdings();

  // `flow` is a hash: its low and its high bits are used.
  Holding Of(uint64_t flow) const;

  void AddRequest(uint64_t flow, int64_t bytes);
  // One of the flow's requests that was not yet.
  void MarkAnswered(uint64_t flow);
  void RemoveRequest(uint64_t flow, int64_t bytes, bool answered);
  // More, or with a negative number fewer, for the same requests.
  void AddBytes(uint64_t flow, int64_t bytes);

 private:
  static constexpr size_t kRows = 2;
  static constexpr size_t kCells = 4096;  // in a row; 64 KiB
  struct Cell {
    std::atomic<int64_t> bytes{0};
    // Requests, and above them in the same word those that are answered: never
    // more than the requests, whenever one looks.
    std::atomic<uint64_t> counts{0};
  };
  static constexpr uint64_t kOneRequest = 1;
  static constexpr uint64_t kOneAnswered = uint64_t{1} << 32;

  // To the counts of the flow's cells, modulo 2^64.
  void AddCounts(uint64_t flow, uint64_t counts);

  // The row's cell for the flow.
  static size_t IndexOf(uint64_t flow, size_t row) {
    return (row * kCells) + ((flow >> (32 * row)) % kCells);
  }

  std::vector<Cell> cells_;
};

}  // namespace lossd::admission

#endif  // LOSSD_SERVER_ADMISSION_HOLDINGS_H_
