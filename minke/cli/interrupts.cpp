#include "minke/cli/interrupts.h"

#include <signal.h>

#include <atomic>

#include "minke/base/check.h"

namespace minke {
namespace {

// A signal handler can reach nothing but static storage.
std::atomic<int> g_count{0};
std::atomic<bool> g_terminated{false};
std::atomic<bool> g_in_use{false};
struct sigaction g_old_interrupt;
struct sigaction g_old_terminate;

extern "C" void on_signal(int number) {
  g_count.fetch_add(1, std::memory_order_relaxed);
  if (number == SIGTERM) g_terminated.store(true, std::memory_order_relaxed);
}

}  // namespace

Interrupts::Interrupts() {
  MK_CHECK(!g_in_use.exchange(true), "interrupts: two at a time");
  clear();
  struct sigaction action {};
  action.sa_handler = on_signal;  // without SA_RESTART: a read from the terminal ends with EINTR
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &g_old_interrupt);
  ::sigaction(SIGTERM, &action, &g_old_terminate);
}

Interrupts::~Interrupts() {
  ::sigaction(SIGINT, &g_old_interrupt, nullptr);
  ::sigaction(SIGTERM, &g_old_terminate, nullptr);
  g_in_use = false;
}

int Interrupts::count() const { return g_count.load(std::memory_order_relaxed); }
bool Interrupts::terminated() const { return g_terminated.load(std::memory_order_relaxed); }
bool Interrupts::any() { return g_in_use; }
bool Interrupts::last_was_terminated() { return g_terminated.load(std::memory_order_relaxed); }
void Interrupts::clear() {
  g_count = 0;
  g_terminated = false;
}

}  // namespace minke
