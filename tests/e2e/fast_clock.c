// A clock that runs faster, for a whole process: LD_PRELOAD this and set COALMINE_CLOCK to "SPEED WALL_NS MONOTONIC_NS", the moments (of the
// real clocks) from which on time passes SPEED times as fast. Clocks that are read run ahead, and whoever waits for a time waits
// that much shorter. Processes with the same COALMINE_CLOCK agree about the time, also one that is started later.
// Of Debian's libfaketime it differs in that it asks the kernel itself: jemalloc wants to know the time before a library that it
// would have to look up can be asked, and hangs in libfaketime.
// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const int64_t kSecond = 1000000000;
static int64_t speed; // 0: not read yet
static int64_t wall_from;
static int64_t steady_from;

// Not a constructor: somebody asks for the time before those run. Threads that do it at once write the same.
static void read_settings(void) {
  long long s = 1, wall = 0, steady = 0;
  const char* text = getenv("COALMINE_CLOCK");
  if (text != NULL && sscanf(text, "%lld %lld %lld", &s, &wall, &steady) != 3) s = 1;
  wall_from = wall;
  steady_from = steady;
  __atomic_store_n(&speed, s < 1 ? 1 : s, __ATOMIC_RELEASE);
}
static int64_t factor(void) {
  int64_t out = __atomic_load_n(&speed, __ATOMIC_ACQUIRE);
  if (out != 0) return out;
  read_settings();
  return __atomic_load_n(&speed, __ATOMIC_ACQUIRE);
}

static int64_t to_ns(const struct timespec* t) { return t->tv_sec * kSecond + t->tv_nsec; }
static struct timespec to_timespec(int64_t ns) {
  return (struct timespec){.tv_sec = ns / kSecond, .tv_nsec = ns % kSecond};
}
static int is_wall(clockid_t id) { return id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE; }
static int is_steady(clockid_t id) {
  return id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_MONOTONIC_RAW || id == CLOCK_BOOTTIME;
}
static int64_t real_now(clockid_t id) {
  struct timespec t = {0, 0};
  syscall(SYS_clock_gettime, id, &t);
  return to_ns(&t);
}
static int64_t start_of(clockid_t id) { return is_wall(id) ? wall_from : steady_from; }
static int64_t fast_now(clockid_t id) {
  const int64_t by = factor();
  return start_of(id) + (real_now(id) - start_of(id)) * by;
}
// The real moment at which the fast clock shows this one.
static struct timespec real_deadline(clockid_t id, const struct timespec* fast) {
  const int64_t by = factor();
  const int64_t ns = start_of(id) + (to_ns(fast) - start_of(id)) / by;
  return to_timespec(ns < 0 ? 0 : ns);
}
// Rounded up: whoever waits for a millisecond does not spin.
static int shorter_ms(int ms) { return ms <= 0 ? ms : (int)((ms + factor() - 1) / factor()); }
static struct timespec shorter(const struct timespec* t) {
  const int64_t ns = to_ns(t);
  return to_timespec(ns <= 0 ? 0 : (ns + factor() - 1) / factor());
}

#define NEXT(name) \
  static __typeof__(name)* next; \
  if (next == NULL) next = (__typeof__(name)*)dlsym(RTLD_NEXT, #name)

int clock_gettime(clockid_t id, struct timespec* out) {
  if (!is_wall(id) && !is_steady(id)) return (int)syscall(SYS_clock_gettime, id, out);
  *out = to_timespec(fast_now(id));
  return 0;
}
int gettimeofday(struct timeval* restrict out, void* restrict zone) {
  (void)zone;
  const int64_t ns = fast_now(CLOCK_REALTIME);
  out->tv_sec = ns / kSecond;
  out->tv_usec = ns % kSecond / 1000;
  return 0;
}
time_t time(time_t* out) {
  const time_t seconds = fast_now(CLOCK_REALTIME) / kSecond;
  if (out != NULL) *out = seconds;
  return seconds;
}

int clock_nanosleep(clockid_t id, int flags, const struct timespec* wanted, struct timespec* left) {
  NEXT(clock_nanosleep);
  const struct timespec t = (flags & TIMER_ABSTIME) != 0 ? real_deadline(id, wanted) : shorter(wanted);
  return next(id, flags, &t, left);
}
int nanosleep(const struct timespec* wanted, struct timespec* left) {
  NEXT(nanosleep);
  const struct timespec t = shorter(wanted);
  return next(&t, left);
}
int usleep(useconds_t us) {
  const struct timespec t = to_timespec((int64_t)us * 1000);
  return nanosleep(&t, NULL);
}
unsigned sleep(unsigned seconds) {
  const struct timespec t = to_timespec(seconds * kSecond);
  nanosleep(&t, NULL);
  return 0;
}

// By the wall clock: none of the libraries sets another with pthread_condattr_setclock.
int pthread_cond_timedwait(pthread_cond_t* restrict c, pthread_mutex_t* restrict m, const struct timespec* restrict at) {
  NEXT(pthread_cond_timedwait);
  const struct timespec t = real_deadline(CLOCK_REALTIME, at);
  return next(c, m, &t);
}
int pthread_cond_clockwait(pthread_cond_t* c, pthread_mutex_t* m, clockid_t id, const struct timespec* at) {
  NEXT(pthread_cond_clockwait);
  const struct timespec t = real_deadline(id, at);
  return next(c, m, id, &t);
}
int sem_timedwait(sem_t* restrict s, const struct timespec* restrict at) {
  NEXT(sem_timedwait);
  const struct timespec t = real_deadline(CLOCK_REALTIME, at);
  return next(s, &t);
}
int sem_clockwait(sem_t* s, clockid_t id, const struct timespec* at) {
  NEXT(sem_clockwait);
  const struct timespec t = real_deadline(id, at);
  return next(s, id, &t);
}

int poll(struct pollfd* fds, nfds_t count, int ms) {
  NEXT(poll);
  return next(fds, count, shorter_ms(ms));
}
int epoll_wait(int fd, struct epoll_event* events, int most, int ms) {
  NEXT(epoll_wait);
  return next(fd, events, most, shorter_ms(ms));
}
int timerfd_settime(int fd, int flags, const struct itimerspec* set, struct itimerspec* old) {
  NEXT(timerfd_settime);
  struct itimerspec real = *set;
  if ((flags & TFD_TIMER_ABSTIME) == 0) {
    real.it_value = shorter(&set->it_value);
  } else if (to_ns(&set->it_value) > 1) { // 1: at once, as Asio asks for it
    real.it_value = real_deadline(CLOCK_MONOTONIC, &set->it_value);
  }
  real.it_interval = shorter(&set->it_interval);
  return next(fd, flags, &real, old);
}
