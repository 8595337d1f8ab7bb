#include "server/observability/socket_deadlines.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/file_descriptor.h"

namespace lossd::observability {
namespace {

struct Pair {
  Pair() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    near = FileDescriptor(ends[0]);
    far = FileDescriptor(ends[1]);
  }
  // Returns whether the other end sees the end of the connection.
  bool ended() const {
    pollfd state = {far.number(), 0, 0};
    return poll(&state, 1, 0) == 1 && (state.revents & POLLHUP) != 0;
  }
  FileDescriptor near;
  FileDescriptor far;
};

TEST(SocketDeadlines, EndWhatIsLateAndNothingElse) {
  const absl::Time now = absl::UnixEpoch();
  const Pair late, early, removed;
  SocketDeadlines deadlines;
  deadlines.Add(late.near.number(), now);
  deadlines.Add(early.near.number(), now + absl::Seconds(1));
  deadlines.Add(removed.near.number(), now);
  deadlines.Remove(removed.near.number());
  deadlines.EndLate(now);
  EXPECT_TRUE(late.ended());
  EXPECT_FALSE(early.ended());
  EXPECT_FALSE(removed.ended());
  deadlines.EndLate(now + absl::Seconds(1));
  EXPECT_TRUE(early.ended());
}

}  // namespace
}  // namespace lossd::observability
