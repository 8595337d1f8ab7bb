// A session of a server that the test makes.
#ifndef LOSSD_TESTS_CLIENT_CPP_SESSION_FIXTURE_H_
#define LOSSD_TESTS_CLIENT_CPP_SESSION_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "client/cpp/client.h"
#include "client/cpp/session.h"
#include "tests/client/cpp/fake_session_server.h"

namespace lossd::client {

using Stream = FakeSessionServer::Stream;

inline grpc::Status AnswerAll(Stream& stream) {
  v1::ComputeLossesRequest request;
  while (stream.Read(&request)) stream.Write(AnswersTo(request));
  return grpc::Status::OK;
}

// A compiler that takes this for a constant would compute it element by
// element, which a function prevents.
inline std::vector<float> Zeros(size_t count) {
  return std::vector<float>(count);
}

class SessionTest : public testing::Test {
 protected:
  void Start(FakeSessionServer::Handler handler,
             const SessionOptions& options = {}) {
    server_ = std::make_unique<FakeSessionServer>(std::move(handler));
    client_ = *Client::Create({.target = server_->target()});
    session_ = *client_->StartSession(options);
  }

  // Starts a request whose outcome is counted in `codes_`.
  CallHandle Send(const CallOptions& options = {}) {
    ++sent_;
    return session_->ComputeLossAsync(
        request_, options, [this](const absl::StatusOr<LossResult>& result) {
          absl::MutexLock lock(&mu_);
          statuses_.push_back(result.status());
        });
  }

  // Returns the outcomes of all requests, once all have one.
  std::vector<absl::Status> Statuses() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](SessionTest* test) {
          return test->statuses_.size() == test->sent_;
        },
        this));
    return statuses_;
  }

  absl::Notification over_;  // handlers may wait for it until the server ends
  const std::vector<float> logits_ = std::vector<float>(5, 2.0f);
  const LossRequest request_{.logits = TensorView::Of<float>(logits_),
                             .targets = TensorView::Of<float>(logits_)};
  std::unique_ptr<FakeSessionServer> server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Session> session_;

  absl::Mutex mu_;
  size_t sent_ = 0;
  std::vector<absl::Status> statuses_;
};

}  // namespace lossd::client

#endif  // LOSSD_TESTS_CLIENT_CPP_SESSION_FIXTURE_H_
