#include "server/shared_memory/region_socket.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/shared_memory/region_protocol.h"

namespace lossd::shared_memory {
namespace {

// At most so many packets of one peer are answered before the others have
// their turn.
constexpr int kPacketsInTurn = 16;

// The listener rests this long when the system has no descriptors left.
constexpr int kRestMilliseconds = 100;
constexpr int kForever = -1;

// Tells the peer why its connection ends. Errors are ignored, because the
// connection ends in any case.
void SayLast(int socket, const absl::Status& why) {
  Send(socket, ErrorAnswer(why)).IgnoreError();
}

}  // namespace

absl::StatusOr<std::unique_ptr<RegionSocket>> RegionSocket::Start(
    const RegionSocketOptions& options, RegionTable* table) {
  FileDescriptor stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.open()) return absl::ErrnoToStatus(errno, "eventfd");
  absl::StatusOr<std::unique_ptr<ListeningSocket>> listener =
      ListeningSocket::Open(options.path);
  if (!listener.ok()) return listener.status();
  return std::unique_ptr<RegionSocket>(
      new RegionSocket(options, table, *std::move(listener), std::move(stop)));
}

RegionSocket::RegionSocket(const RegionSocketOptions& options,
                           RegionTable* table,
                           std::unique_ptr<ListeningSocket> listener,
                           FileDescriptor stop)
    : options_(options),
      table_(table),
      listener_(std::move(listener)),
      stop_(std::move(stop)),
      thread_([this] { Run(); }) {}

RegionSocket::~RegionSocket() {
  eventfd_write(stop_.number(), 1);
  thread_.join();
}

void RegionSocket::Run() {
  while (Wait()) {
    std::vector<Peer> living;
    for (size_t i = 0; i < peers_.size(); ++i) {
      if (!ready_.peers[i] || Serve(peers_[i])) {
        living.push_back(std::move(peers_[i]));
      } else {
        table_->ReleaseAll(peers_[i].id);
      }
    }
    peers_ = std::move(living);
    if (ready_.listener) AcceptAll();
  }
  for (const Peer& peer : peers_) table_->ReleaseAll(peer.id);
  peers_.clear();
}

bool RegionSocket::Wait() {
  std::vector<pollfd> watched;
  watched.push_back({stop_.number(), POLLIN, 0});
  // poll() ignores negative numbers.
  watched.push_back(
      {out_of_descriptors_ ? -1 : listener_->number(), POLLIN, 0});
  for (const Peer& peer : peers_) {
    watched.push_back({peer.socket.number(), POLLIN, 0});
  }
  const int timeout = out_of_descriptors_ ? kRestMilliseconds : kForever;
  const int ready = poll(watched.data(), watched.size(), timeout);
  out_of_descriptors_ = false;
  ready_.peers.assign(peers_.size(), false);
  ready_.listener = false;
  if (ready <= 0) return true;  // the listener has rested, or a signal came
  ready_.listener = watched[1].revents != 0;
  for (size_t i = 0; i < peers_.size(); ++i) {
    ready_.peers[i] = watched[i + 2].revents != 0;
  }
  return watched[0].revents == 0;
}

void RegionSocket::AcceptAll() {
  while (true) {
    FileDescriptor socket(accept4(listener_->number(), nullptr, nullptr,
                                  SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.open()) {
      Admit(std::move(socket));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    out_of_descriptors_ = errno != EAGAIN && errno != EWOULDBLOCK;
    return;
  }
}

void RegionSocket::Admit(FileDescriptor socket) {
  if (peers_.size() >= options_.max_connections) {
    SayLast(socket.number(),
            absl::ResourceExhaustedError(absl::StrCat(
                "the server has ", peers_.size(),
                " connections for shared memory, and takes no more")));
    return;
  }
  peers_.push_back({next_id_++, std::move(socket)});
}

bool RegionSocket::Serve(const Peer& peer) {
  for (int i = 0; i < kPacketsInTurn; ++i) {
    const absl::StatusOr<std::string> packet = Receive(peer.socket.number());
    if (absl::IsUnavailable(packet.status())) return true;
    if (!packet.ok()) {
      if (absl::IsInvalidArgument(packet.status())) {
        SayLast(peer.socket.number(), packet.status());
      }
      return false;
    }
    const absl::StatusOr<Answer> answer =
        AnswerPacket(*table_, peer.id, *packet);
    if (!answer.ok()) {
      SayLast(peer.socket.number(), answer.status());
      return false;
    }
    if (!Send(peer.socket.number(), *answer).ok()) return false;
  }
  return true;
}

}  // namespace lossd::shared_memory
