/* Loses 256 bytes at each write to a socket: preloaded into a server, it is the leak that
   ./dev soak leak must see. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void *volatile last; /* The compiler may not leave out what is kept here. */

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
  ssize_t (*next)(int, const struct msghdr *, int) =
      (ssize_t(*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
  last = malloc(256);
  if (last != NULL) memset(last, 1, 256);
  return next(descriptor, message, flags);
}
