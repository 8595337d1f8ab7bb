// Runs a fuzz target over the inputs of a corpus, without a fuzzer: any
// compiler builds it, and the tests run it.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

// Reads the inputs of a pack, whose format is described in pack.py. Returns
// nothing if the file cannot be read or an input is cut short.
std::optional<std::vector<Bytes>> ReadPack(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::vector<Bytes> inputs;
  for (uint8_t size[4]; file.read(reinterpret_cast<char*>(size), 4);) {
    Bytes& input = inputs.emplace_back(size[0] | size[1] << 8 | size[2] << 16 |
                                       size_t{size[3]} << 24);
    file.read(reinterpret_cast<char*>(input.data()),
              static_cast<std::streamsize>(input.size()));
    if (!file) return std::nullopt;
  }
  if (file.gcount() != 0) return std::nullopt;
  return inputs;
}

}  // namespace

// replay PACK COUNT: runs every input of the pack. Returns 1 if the pack cannot
// be read or holds another number of inputs.
int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: replay PACK COUNT\n", stderr);
    return 2;
  }
  const std::optional<std::vector<Bytes>> inputs = ReadPack(argv[1]);
  if (!inputs.has_value()) {
    std::fprintf(stderr, "%s: cannot be read, or is cut short\n", argv[1]);
    return 1;
  }
  const unsigned long expected = std::strtoul(argv[2], nullptr, 10);
  LLVMFuzzerInitialize(&argc, &argv);
  size_t run = 0;
  for (const Bytes& input : *inputs) {
    // A finding ends the program, and this is then its last line.
    std::fprintf(stderr, "input %04zu\n", run);
    LLVMFuzzerTestOneInput(input.data(), input.size());
    ++run;
  }
  std::printf("%zu inputs\n", run);
  if (run == expected) return 0;
  std::fprintf(stderr, "%s: %lu inputs were expected\n", argv[1], expected);
  return 1;
}
