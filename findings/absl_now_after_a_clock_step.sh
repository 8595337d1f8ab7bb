#!/usr/bin/env bash
# Package: libabsl-dev 20220623.1 with libfaketime 0.9.10, both of Debian 12.
#
# Behaviour: When the machine's clock is set an hour ahead, absl::Now() goes on from the time before
# for up to two seconds, while std::chrono::system_clock tells the new time at once. Abseil
# interpolates between samples of the clock by the processor's cycle counter, and takes the next
# sample only when the last is that old. libfaketime stands for the administrator: it gives the
# program a clock that steps when a file changes.
#
# Guess that the documentation suggests, written down before the script: absl::Now() "returns the
# current time", so after a step it is within some milliseconds of the system's clock.
#
# Output seen (the last number depends on when the last sample was):
#   before the steps: 0.0 s apart
#   after a step: 3600.0 s apart, for up to 1.9 s
#
# Why it matters: gRPC's C++ API gives a call's deadline as a system_clock time. A server that
# compares it with absl::Now() finds every deadline passed, or an hour away, while that lasts: after
# NTP's first correction, or when a virtual machine is resumed.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
apt-get -qq download libabsl-dev libabsl20220623 libfaketime
for package in *.deb; do dpkg-deb -x "$package" root; done
[[ $(ls libabsl-dev_*.deb) == libabsl-dev_20220623.1-* ]]
[[ $(ls libfaketime_*.deb) == libfaketime_0.9.10-* ]]
cat > now.cc << 'CPP'
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "absl/time/clock.h"

// Returns how far absl::Now() is from the system's clock, in seconds.
double Apart() {
  const absl::Time system = absl::FromChrono(std::chrono::system_clock::now());
  return std::fabs(absl::ToDoubleSeconds(absl::Now() - system));
}

int main(int, char** arguments) {
  using Steady = std::chrono::steady_clock;
  const auto seconds = [](Steady::time_point since) {
    return std::chrono::duration<double>(Steady::now() - since).count();
  };
  // The program reads the time as a server does, until absl has learnt the rate of its counter.
  for (const auto start = Steady::now(); seconds(start) < 6;) absl::Now();
  std::printf("before the steps: %.1f s apart\n", Apart());
  double apart = 0;
  double lasted = 0;
  for (const char* clock : {"+3600", "+0", "+3600", "+0", "+3600"}) {
    std::ofstream(arguments[1]) << clock << "\n";
    const auto step = Steady::now();
    apart = std::fmax(apart, Apart());
    while (Apart() > 1 && seconds(step) < 20) {
    }
    lasted = std::fmax(lasted, seconds(step));
    for (const auto start = Steady::now(); seconds(start) < 2.7;) absl::Now();
  }
  std::printf("after a step: %.1f s apart, for up to %.1f s\n", apart, lasted);
  return apart > 3000 && lasted > 0.4 && lasted < 10 ? 0 : 1;
}
CPP
libraries=root/usr/lib/x86_64-linux-gnu
g++ -std=c++17 -O2 -Iroot/usr/include now.cc -o now "$libraries"/libabsl_{time,base,time_zone,int128,raw_logging_internal,spinlock_wait}.a -pthread
echo "+0" > clock
LD_PRELOAD=$PWD/$libraries/faketime/libfaketimeMT.so.1 FAKETIME_TIMESTAMP_FILE=$PWD/clock \
  FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1 ./now "$PWD/clock"
