// seeds FOLDER: writes the inputs that a search begins with.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/fuzz/requests.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: seeds FOLDER\n", stderr);
    return 2;
  }
  std::vector<std::string> messages = lossd::fuzz::OddMessages();
  for (const auto& request : lossd::fuzz::EveryKind()) {
    messages.push_back(request.SerializeAsString());
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  for (size_t i = 0; i < messages.size(); ++i) {
    // One cut, at a place that wanders through the message.
    const std::string head = {'\x01', static_cast<char>(i * 37), '\0'};
    std::ofstream file(folder / absl::StrCat("seed_", i), std::ios::binary);
    file << head << messages[i];
    if (!file.flush()) {
      std::fprintf(stderr, "%s: cannot be written\n", argv[1]);
      return 1;
    }
  }
  return 0;
}
