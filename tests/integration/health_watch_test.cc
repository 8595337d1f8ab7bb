// Health watches of a whole server, many and odd ones.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/door/health_service.h"
#include "tests/integration/raw_stream.h"
#include "tests/integration/running_server.h"

namespace lossd {
namespace {

using door::HealthService;
using Response = HealthService::Response;

constexpr int kConnections = 100;
constexpr int kWatchesPerConnection = 100;
constexpr int kWatches = kConnections * kWatchesPerConnection;

// One watch as its client sees it. Its address is the tag of its operations, of
// which there is one at a time.
struct Watch {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientAsyncReader<Response>> reader;
  Response response;
  grpc::Status status;
  std::vector<int> seen;
  bool started = false;
  bool ended = false;
};

// Many watches over few connections, on one thread.
class Watches {
 public:
  explicit Watches(const RunningServer& server) : watches_(kWatches) {
    HealthService::Request request;
    for (int c = 0; c < kConnections; ++c) {
      stubs_.push_back(
          grpc::health::v1::Health::NewStub(server.AnotherConnection()));
      for (int w = 0; w < kWatchesPerConnection; ++w) {
        Watch& watch =
            watches_[static_cast<size_t>(c * kWatchesPerConnection + w)];
        watch.context.set_deadline(std::chrono::system_clock::now() +
                                   std::chrono::seconds(120));
        watch.context.set_wait_for_ready(true);
        watch.reader =
            stubs_.back()->AsyncWatch(&watch.context, request, &queue_, &watch);
      }
    }
  }
  ~Watches() {
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  // Handles events until every watch has `count` messages or has ended.
  void AwaitMessages(size_t count) {
    size_t lacking = watches_.size();
    for (const Watch& watch : watches_) {
      if (watch.ended || watch.seen.size() >= count) --lacking;
    }
    while (lacking > 0) {
      Watch& watch = Next();
      if (watch.ended || watch.seen.size() == count) --lacking;
    }
  }

  // Handles events until every watch has ended.
  void AwaitEnds() {
    while (ended_ < watches_.size()) Next();
  }

  const std::vector<Watch>& all() const { return watches_; }

 private:
  // Handles the next event that tells something, and returns its watch.
  Watch& Next() {
    while (true) {
      void* tag = nullptr;
      bool ok = false;
      EXPECT_TRUE(queue_.Next(&tag, &ok));
      Watch& watch = *static_cast<Watch*>(tag);
      if (watch.ended) {  // by Finish()
        ++ended_;
        return watch;
      }
      if (!ok) {
        watch.ended = true;
        watch.reader->Finish(&watch.status, &watch);
        continue;
      }
      const bool is_message = watch.started;
      watch.started = true;
      if (is_message) watch.seen.push_back(watch.response.status());
      watch.reader->Read(&watch.response, &watch);
      if (is_message) return watch;
    }
  }

  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<grpc::health::v1::Health::Stub>> stubs_;
  std::vector<Watch> watches_;
  size_t ended_ = 0;
};

TEST(HealthWatches, TenThousandSeeEachChangeAndTheEnd) {
  RunningServer server;
  Watches watches(server);
  watches.AwaitMessages(1);
  // The server goes on computing beside them.
  v1::ComputeLossResponse response;
  EXPECT_TRUE(server.Call(SomeRequest(10), &response).ok());
  server.server().BeginDrain();
  watches.AwaitMessages(2);
  std::thread end([&] { server.server().Shutdown(absl::Seconds(20)); });
  watches.AwaitEnds();
  end.join();
  for (const Watch& watch : watches.all()) {
    ASSERT_THAT(watch.seen,
                testing::ElementsAre(Response::SERVING, Response::NOT_SERVING));
    ASSERT_EQ(watch.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  }
}

// The protocol wants a watch of an unknown service to stay open, because the
// service may become known.
TEST(HealthWatches, AnUnknownServiceIsSaidToBeUnknownAndStaysWatched) {
  RunningServer server;
  RawStream unknown(server, "/grpc.health.v1.Health/Watch",
                    HealthRequest("other"));
  EXPECT_EQ(unknown.Read(), "\x08\x03");
  std::thread end([&] { server.server().Shutdown(absl::Seconds(20)); });
  EXPECT_EQ(unknown.Read(), "end");  // the drain is no news of it
  end.join();
}

TEST(HealthWatches, ThatAreCancelledFreeTheirPlaces) {
  RunningServer server;
  for (int i = 0; i < 200; ++i) {
    RawStream watch(server, "/grpc.health.v1.Health/Watch", HealthRequest(""));
    EXPECT_EQ(watch.Read(), kServing);
  }
}

TEST(HealthWatches, ARequestThatIsNoMessageIsRefused) {
  RunningServer server;
  {
    RawStream bad(server, "/grpc.health.v1.Health/Watch", "\xff");
    EXPECT_EQ(bad.Read(), "end");
  }
  RawStream good(server, "/grpc.health.v1.Health/Watch", HealthRequest(""));
  EXPECT_EQ(good.Read(), kServing);
}

}  // namespace
}  // namespace lossd
