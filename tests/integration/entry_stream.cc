#include "tests/integration/entry_stream.h"

#include <gtest/gtest.h>

namespace lossd {

std::map<uint64_t, v1::ComputeLossesResponse::Entry> EntryStream::Read(
    size_t count) {
  std::map<uint64_t, v1::ComputeLossesResponse::Entry> answers;
  v1::ComputeLossesResponse response;
  while (answers.size() < count && stream_->Read(&response)) {
    for (const auto& entry : response.entries()) {
      EXPECT_TRUE(answers.emplace(entry.id(), entry).second) << entry.id();
    }
  }
  return answers;
}

std::string EntryStream::Header(const std::string& name) {
  stream_->WaitForInitialMetadata();
  const auto& headers = context_.GetServerInitialMetadata();
  const auto found = headers.find(name);
  if (found == headers.end()) return {};
  return std::string(found->second.data(), found->second.size());
}

grpc::Status EntryStream::Finish() {
  WritesDone();
  v1::ComputeLossesResponse response;
  EXPECT_FALSE(stream_->Read(&response)) << response.ShortDebugString();
  return stream_->Finish();
}

v1::ComputeLossesRequest::Entry& AddEntry(uint64_t id,
                                          const v1::ComputeLossRequest& request,
                                          v1::ComputeLossesRequest* message) {
  v1::ComputeLossesRequest::Entry& entry = *message->add_entries();
  entry.set_id(id);
  *entry.mutable_request() = request;
  return entry;
}

}  // namespace lossd
