#include "tests/integration/ways.h"

#include "kernels/sigmoid_loss.h"
#include "tests/integration/entry_stream.h"
#include "tests/integration/loss_stream.h"

namespace lossd {
namespace {

grpc::Status AskByCall(v1::LossService::Stub& stub,
                       const v1::ComputeLossRequest& request,
                       grpc::ClientContext* context) {
  v1::ComputeLossResponse response;
  return stub.ComputeLoss(context, request, &response);
}

grpc::Status AskByStream(v1::LossService::Stub& stub,
                         const v1::ComputeLossRequest& request,
                         grpc::ClientContext* context) {
  const auto stream = stub.StreamLoss(context);
  for (const v1::StreamLossRequest& message :
       Cut(request, kernels::kBlockElements)) {
    stream->Write(message);
  }
  stream->WritesDone();
  for (v1::StreamLossResponse response; stream->Read(&response);) {
  }
  return stream->Finish();
}

grpc::Status AskByEntry(v1::LossService::Stub& stub,
                        const v1::ComputeLossRequest& request,
                        grpc::ClientContext* context) {
  const auto stream = stub.ComputeLosses(context);
  v1::ComputeLossesRequest message;
  AddEntry(1, request, &message);
  stream->Write(message);
  stream->WritesDone();
  grpc::Status failure;
  for (v1::ComputeLossesResponse response; stream->Read(&response);) {
    for (const auto& entry : response.entries()) {
      if (!entry.has_failure()) continue;
      failure =
          grpc::Status(static_cast<grpc::StatusCode>(entry.failure().code()),
                       entry.failure().message());
    }
  }
  const grpc::Status status = stream->Finish();
  return status.ok() ? failure : status;
}

}  // namespace

const std::vector<Way> kWays = {{"ComputeLoss", &AskByCall},
                                {"StreamLoss", &AskByStream},
                                {"ComputeLosses", &AskByEntry}};

}  // namespace lossd
