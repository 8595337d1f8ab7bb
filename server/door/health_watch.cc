#include "server/door/health_watch.h"

#include "server/door/status.h"

namespace lossd::door {

using Response = HealthService::Response;

void HealthWatch::Listen() {
  context_.emplace();
  writer_.emplace(&*context_);
  context_->AsyncNotifyWhenDone(&done_tag_);
  service_->RequestWatch(&*context_, &request_, &*writer_, queue_, queue_,
                         &request_tag_);
  tags_ = 2;
}

bool HealthWatch::OnEvent(int event, bool ok) {
  if (event != kNews) --tags_;
  switch (event) {
    case kRequest:
      Begin();
      break;
    case kNews:
      OnNewsEvent();
      break;
    case kWritten:
      writing_ = false;
      gone_ |= !ok;
      break;
    case kDone:
      gone_ = true;
      break;
    default:
      break;
  }
  Advance();
  return false;
}

void HealthWatch::Begin() {
  following_ = service_->Follow(this);
  if (following_) return;
  Finish(absl::ResourceExhaustedError("too many health watches"));
}

void HealthWatch::OnNews() {
  news_.Set(queue_, gpr_time_0(GPR_CLOCK_MONOTONIC), &news_tag_);
}

void HealthWatch::OnNewsEvent() {
  if (following_) {
    health_ = service_->Read(this);
    const Status known =
        health_.serving ? Response::SERVING : Response::NOT_SERVING;
    newest_ =
        service_->Knows(request_.service()) ? known : Response::SERVICE_UNKNOWN;
  } else {
    news_due_ = false;
  }
}

void HealthWatch::Advance() {
  if (finishing_ || writing_) return;
  if (gone_) {
    Finish(absl::CancelledError("the client has gone"));
  } else if (newest_.has_value() && newest_ != told_) {
    Write(*newest_);
  } else if (health_.ended) {
    Finish(absl::UnavailableError("the server is shutting down"));
  }
}

void HealthWatch::Write(Status status) {
  Response response;
  response.set_status(status);
  told_ = status;
  writing_ = true;
  ++tags_;
  writer_->Write(response, &written_tag_);
}

void HealthWatch::Finish(const absl::Status& status) {
  if (following_) news_due_ = service_->Unfollow(this);
  following_ = false;
  finishing_ = true;
  ++tags_;
  writer_->Finish(ToGrpcStatus(status, {}), &finished_tag_);
}

void HealthWatch::Reset() {
  writer_.reset();
  context_.reset();
  request_.Clear();
  writing_ = finishing_ = gone_ = false;
  health_ = {};
  newest_.reset();
  told_.reset();
}

}  // namespace lossd::door
