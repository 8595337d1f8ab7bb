// A client returns borrowed memory only when gRPC no longer reads it.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "client/cpp/client.h"
#include "tests/client/cpp/stalled_peer.h"
#include "tests/server/shared_memory/raw_client.h"

namespace lossd::client {
namespace {

// The bytes of a tensor: more than the sockets' buffers hold.
std::vector<float> LargeTensor() { return std::vector<float>(16 << 20); }

LossRequest RequestOf(const std::vector<float>& tensor) {
  return {.logits = TensorView::Of<float>(tensor),
          .targets = TensorView::Of<float>(tensor)};
}

TEST(LentMemoryTest, ACancelledCallKeepsItsTensorsWhileTheTransportReadsThem) {
  StalledPeer peer;
  const std::vector<float> tensor = LargeTensor();
  auto client = *Client::Create({.target = peer.target()});
  std::atomic<bool> hung_up = false;
  absl::Notification done;
  CallHandle call = client->ComputeLossAsync(
      RequestOf(tensor), {}, [&](const absl::StatusOr<LossResult>& result) {
        EXPECT_FALSE(result.ok());
        EXPECT_TRUE(hung_up) << "the transport was still reading the tensors";
        done.Notify();
      });
  peer.AwaitMessage();
  call.Cancel();
  hung_up = true;
  peer.HangUp();
  done.WaitForNotification();
}

TEST(LentMemoryTest, TensorsLeaveFromTheCallersMemoryWithoutACopy) {
  StalledPeer peer;
  constexpr size_t kCount = 16 << 20;
  // The memory is mapped twice. The test changes memory that gRPC reads, which
  // no caller may do and which the thread sanitizer would rightly report.
  const FileDescriptor file(memfd_create("tensor", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(file.number(), kCount * sizeof(float)), 0);
  const shared_memory::Mapping lent(file, kCount * sizeof(float));
  const shared_memory::Mapping changed(file, kCount * sizeof(float));
  const std::span<const float> tensor(
      reinterpret_cast<const float*>(lent.bytes().data()), kCount);
  auto client = *Client::Create({.target = peer.target()});
  absl::Notification done;
  client->ComputeLossAsync(
      {.logits = TensorView::Of<float>(tensor),
       .targets = TensorView::Of<float>(tensor)},
      {}, [&](const absl::StatusOr<LossResult>&) { done.Notify(); });
  peer.AwaitMessage();
  // The message ends with the targets, and most of it is still to be sent. If
  // anyone on the way had copied it, this would be too late to be seen.
  constexpr float kChanged = 1.5;
  std::memcpy(&changed.bytes()[(kCount - 1) * sizeof(float)], &kChanged,
              sizeof(kChanged));
  const std::string last = peer.ReadToEnd();
  float sent = 0;
  ASSERT_GE(last.size(), sizeof(sent));
  std::memcpy(&sent, last.data() + last.size() - sizeof(sent), sizeof(sent));
  EXPECT_EQ(sent, kChanged);
  peer.HangUp();
  done.WaitForNotification();
}

TEST(LentMemoryTest, ABlockingCallEndsWhenThePeerHangsUpInMidMessage) {
  StalledPeer peer;
  const std::vector<float> tensor = LargeTensor();
  auto client = *Client::Create({.target = peer.target()});
  absl::Status status;
  // No thread polls but that of the call itself.
  std::thread caller(
      [&] { status = client->ComputeLoss(RequestOf(tensor)).status(); });
  peer.AwaitMessage();
  peer.HangUp();
  caller.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
}

}  // namespace
}  // namespace lossd::client
