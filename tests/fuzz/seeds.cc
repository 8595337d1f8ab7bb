// Writes the inputs that a search begins with:
// seeds [--streams | --entries] FOLDER
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/fuzz/entries.h"
#include "tests/fuzz/requests.h"
#include "tests/fuzz/sequence.h"

namespace {

std::vector<std::string> Requests() {
  std::vector<std::string> messages = lossd::fuzz::OddMessages();
  for (const auto& request : lossd::fuzz::EveryKind()) {
    messages.push_back(request.SerializeAsString());
  }
  return messages;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string kind = argc == 3 ? argv[1] : "";
  if (argc != 2 && kind != "--streams" && kind != "--entries") {
    std::fputs("usage: seeds [--streams | --entries] FOLDER\n", stderr);
    return 2;
  }
  const std::vector<std::string> messages =
      kind == "--streams"   ? lossd::fuzz::EverySequence()
      : kind == "--entries" ? lossd::fuzz::EveryEntries()
                            : Requests();
  const std::filesystem::path folder = argv[argc - 1];
  std::filesystem::create_directories(folder);
  for (size_t i = 0; i < messages.size(); ++i) {
    // Each input has one cut, at a place that wanders through the message.
    const std::string head = {'\x01', static_cast<char>(i * 37), '\0'};
    std::ofstream file(folder / absl::StrCat("seed_", i), std::ios::binary);
    file << head << messages[i];
    if (!file.flush()) {
      std::fprintf(stderr, "%s: cannot be written\n", folder.c_str());
      return 1;
    }
  }
  return 0;
}
