// Tells the thread sanitizer about Abseil's locks.
//
// The distribution's Abseil is not compiled with the sanitizer, which therefore
// sees neither which thread holds an absl::Mutex nor what a notification
// orders, and reports a race for everything that they guard. The functions
// below replace the library's in every program that links this file, also for
// the calls that gRPC makes. Each announces what is about to happen and calls
// the library's own. Linked by the tsan preset alone.
//
// While a lock is being taken or given back (from __tsan_mutex_pre_* to
// __tsan_mutex_post_*) the sanitizer ignores the thread's reads and writes. In
// that time Abseil evaluates conditions of other threads' Await(), under a lock
// that the sanitizer believes to be free.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace {

// The library's functions call each other. Only the outermost call announces.
class Outermost {  // D42
 public:
  explicit operator bool() const { return is_; }
  ~Outermost() { --depth_; }

 private:
  static inline thread_local int depth_ = 0;
  const bool is_ = depth_++ == 0;
};

// Returns the library's function that has the name of `mine`, a member function
// defined here. The name is taken from the symbol table, because Abseil's
// inline namespace, and so the mangled name, differs between builds of Abseil.
// A pointer to a member function that is not virtual begins with the function's
// address (Itanium C++ ABI).
template <class Member>
Member LibraryOwn(Member mine) {
  void* address;
  std::memcpy(&address, &mine, sizeof(address));
  Dl_info symbol;
  void* own = nullptr;
  if (dladdr(address, &symbol) != 0 && symbol.dli_sname != nullptr) {
    own = dlsym(RTLD_NEXT, symbol.dli_sname);
  }
  if (own == nullptr) {
    std::fputs("absl_annotations: not linked with a shared Abseil\n", stderr);
    std::abort();
  }
  std::memcpy(&mine, &own, sizeof(own));
  return mine;
}

constexpr unsigned kWriter = 0;
constexpr unsigned kReader = __tsan_mutex_read_lock;

// Calls `wait`, which gives back `mutex`, held for writing, and takes it again.
template <class Function>
bool WaitOn(void* mutex, Function wait) {
  const Outermost outermost;
  if (!outermost) return wait();
  __tsan_mutex_pre_unlock(mutex, kWriter);
  __tsan_mutex_post_unlock(mutex, kWriter);
  __tsan_mutex_pre_lock(mutex, kWriter);
  const bool result = wait();
  __tsan_mutex_post_lock(mutex, kWriter, 0);
  return result;
}

// Calls `lock`, which takes `mutex`.
template <class Function>
void Take(void* mutex, unsigned how, Function lock) {
  const Outermost outermost;
  if (outermost) __tsan_mutex_pre_lock(mutex, how);
  lock();
  if (outermost) __tsan_mutex_post_lock(mutex, how, 0);
}

// Calls `try_lock`, which takes `mutex` if that is free.
template <class Function>
bool TryTake(void* mutex, unsigned how, Function try_lock) {
  const Outermost outermost;
  how |= __tsan_mutex_try_lock;
  if (outermost) __tsan_mutex_pre_lock(mutex, how);
  const bool taken = try_lock();
  if (outermost) {
    __tsan_mutex_post_lock(mutex,
                           how | (taken ? 0 : __tsan_mutex_try_lock_failed), 0);
  }
  return taken;
}

// Calls `unlock`, which gives `mutex` back.
template <class Function>
void Return(void* mutex, unsigned how, Function unlock) {
  const Outermost outermost;
  if (outermost) __tsan_mutex_pre_unlock(mutex, how);
  unlock();
  if (outermost) __tsan_mutex_post_unlock(mutex, how);
}

// Orders everything before the __tsan_release() of `address` before what
// follows.
void Acquire(const void* address) {
  __tsan_acquire(const_cast<void*>(address));
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  static const auto own = LibraryOwn(&Mutex::Lock);
  Take(this, kWriter, [this] { (this->*own)(); });
}

bool Mutex::TryLock() {
  static const auto own = LibraryOwn(&Mutex::TryLock);
  return TryTake(this, kWriter, [this] { return (this->*own)(); });
}

void Mutex::Unlock() {
  static const auto own = LibraryOwn(&Mutex::Unlock);
  Return(this, kWriter, [this] { (this->*own)(); });
}

void Mutex::ReaderLock() {
  static const auto own = LibraryOwn(&Mutex::ReaderLock);
  Take(this, kReader, [this] { (this->*own)(); });
}

bool Mutex::ReaderTryLock() {
  static const auto own = LibraryOwn(&Mutex::ReaderTryLock);
  return TryTake(this, kReader, [this] { return (this->*own)(); });
}

void Mutex::ReaderUnlock() {
  static const auto own = LibraryOwn(&Mutex::ReaderUnlock);
  Return(this, kReader, [this] { (this->*own)(); });
}

void Mutex::LockWhen(const Condition& condition) {
  static const auto own = LibraryOwn(&Mutex::LockWhen);
  Take(this, kWriter, [&] { (this->*own)(condition); });
}

bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  static const auto own = LibraryOwn(&Mutex::LockWhenWithTimeout);
  bool is = false;
  Take(this, kWriter, [&] { is = (this->*own)(condition, timeout); });
  return is;
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  static const auto own = LibraryOwn(&Mutex::LockWhenWithDeadline);
  bool is = false;
  Take(this, kWriter, [&] { is = (this->*own)(condition, deadline); });
  return is;
}

// The three Await() are used only under a writer's lock. A reader's lock would
// need another announcement.
void Mutex::Await(const Condition& condition) {
  static const auto own = LibraryOwn(&Mutex::Await);
  WaitOn(this, [&] { return (this->*own)(condition), true; });
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  static const auto own = LibraryOwn(&Mutex::AwaitWithTimeout);
  return WaitOn(this, [&] { return (this->*own)(condition, timeout); });
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  static const auto own = LibraryOwn(&Mutex::AwaitWithDeadline);
  return WaitOn(this, [&] { return (this->*own)(condition, deadline); });
}

void CondVar::Wait(Mutex* mutex) {
  static const auto own = LibraryOwn(&CondVar::Wait);
  WaitOn(mutex, [&] { return (this->*own)(mutex), true; });
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  static const auto own = LibraryOwn(&CondVar::WaitWithTimeout);
  return WaitOn(mutex, [&] { return (this->*own)(mutex, timeout); });
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static const auto own = LibraryOwn(&CondVar::WaitWithDeadline);
  return WaitOn(mutex, [&] { return (this->*own)(mutex, deadline); });
}

// The classes below wait inside the library in ways that their mutex does not
// show. So the mutex inside is not announced, and the order is announced as a
// whole.

void Notification::Notify() {
  static const auto own = LibraryOwn(&Notification::Notify);
  const Outermost outermost;
  // HasBeenNotified() is inline and reads the flag itself.
  __tsan_release(&notified_yet_);
  (this->*own)();
}

void Notification::WaitForNotification() const {
  static const auto own = LibraryOwn(&Notification::WaitForNotification);
  const Outermost outermost;
  (this->*own)();
  Acquire(&notified_yet_);
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  static const auto own =
      LibraryOwn(&Notification::WaitForNotificationWithTimeout);
  const Outermost outermost;
  const bool notified = (this->*own)(timeout);
  if (notified) Acquire(&notified_yet_);
  return notified;
}

bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  static const auto own =
      LibraryOwn(&Notification::WaitForNotificationWithDeadline);
  const Outermost outermost;
  const bool notified = (this->*own)(deadline);
  if (notified) Acquire(&notified_yet_);
  return notified;
}

bool Barrier::Block() {
  static const auto own = LibraryOwn(&Barrier::Block);
  const Outermost outermost;
  __tsan_release(this);
  const bool last = (this->*own)();
  Acquire(this);
  return last;
}

bool BlockingCounter::DecrementCount() {
  static const auto own = LibraryOwn(&BlockingCounter::DecrementCount);
  const Outermost outermost;
  __tsan_release(this);
  return (this->*own)();
}

void BlockingCounter::Wait() {
  static const auto own = LibraryOwn(&BlockingCounter::Wait);
  const Outermost outermost;
  (this->*own)();
  Acquire(this);
}

ABSL_NAMESPACE_END
}  // namespace absl
