#include "env/real/asio_loop.hpp"

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <boost/asio/post.hpp>

#include "base/check.hpp"
#include "env/real/asio_loop_impl.hpp"

namespace square::env {

namespace {

std::int64_t clock_ns(clockid_t clock) {
  timespec t{};
  SQ_CHECK(::clock_gettime(clock, &t) == 0);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

BootTime boot_now() { return {clock_ns(CLOCK_BOOTTIME)}; }

int open_timer_descriptor() {
  const int fd = ::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  SQ_CHECK(fd >= 0, "timerfd_create failed: out of file descriptors?");
  return fd;
}

void wait_signal(boost::asio::signal_set& set, Loop::Callback callback) {
  set.async_wait([&set, callback](const boost::system::error_code& error, int) {
    if (error) return;
    callback();
    wait_signal(set, callback);
  });
}

}  // namespace

AsioLoop::Impl::Impl(AsioLoopOptions with)
    : options(with),
      work(io.get_executor()),
      timer_descriptor(io, open_timer_descriptor()),
      helpers("square-helper", with.helper_threads) {
  wait_timer_descriptor();
}

AsioLoop::Impl::~Impl() {
  // What is dropped here may own anything, so it goes while the members still stand.
  std::exchange(ready, {}).clear();
  std::exchange(timers, {}).clear();
}

void AsioLoop::Impl::run() {
  while (!stopped.exchange(false, std::memory_order_acq_rel)) turn();
}

void AsioLoop::Impl::turn() {
  if (foreign_waiting.load(std::memory_order_acquire)) take_foreign();
  fire_timers();
  drain_ready();
  bool may_block = end_turn();
  if (may_block && options.spin_max.count() > 0) may_block = spin();
  if (may_block && !stopped.load(std::memory_order_acquire))
    block();
  else
    io.poll();
}

void AsioLoop::Impl::fire_timers() {
  if (timers.empty() || ending) return;
  const auto now = boot_now();
  const auto newest = timer_last;  // a timer that a callback adds now waits for the next turn
  for (auto it = timers.begin(); it != timers.end() && it->first.first <= now;) {
    if (it->first.second > newest) {
      ++it;
      continue;
    }
    auto callback = std::move(it->second);
    timer_times.erase(it->first.second);
    timers.erase(it);
    callback();
    it = timers.begin();  // the callback may have cancelled any other
  }
}

void AsioLoop::Impl::drain_ready() {
  for (auto left = options.ready_per_turn_max; left > 0 && !ready.empty(); --left) {
    auto next = std::move(ready.front());
    ready.pop_front();
    if (ending) continue;
    if (auto* handle = std::get_if<std::coroutine_handle<>>(&next))
      handle->resume();
    else
      std::get<Callback>(next)();
  }
}

bool AsioLoop::Impl::end_turn() {
  bool submitted = true;
  for (auto* hook : hooks) {
    hook->poll();
    submitted &= hook->end_of_turn();
  }
  return submitted && ready.empty();
}

bool AsioLoop::Impl::spin() {
  std::size_t in_flight = 0;
  for (auto* hook : hooks) in_flight += hook->in_flight();
  if (in_flight == 0) return true;
  const auto until = boot_now() + options.spin_max;
  while (boot_now() < until && !foreign_waiting.load(std::memory_order_acquire)) {
    if (!end_turn()) return false;
    __builtin_ia32_pause();
  }
  return true;
}

void AsioLoop::Impl::block() {
  if (foreign_waiting.load(std::memory_order_acquire)) return;
  arm_timer_descriptor();
  io.run_one();
  io.poll();
}

void AsioLoop::Impl::arm_timer_descriptor() {
  if (timers.empty() || ending) return;
  const auto at = timers.begin()->first.first;
  if (timer_armed == at) return;
  timer_armed = at;
  itimerspec when{};  // all zero would disarm it: a time that has passed is one nanosecond
  const auto ns = std::max<std::int64_t>(at.ns, 1);
  when.it_value.tv_sec = ns / 1'000'000'000;
  when.it_value.tv_nsec = ns % 1'000'000'000;
  SQ_CHECK(::timerfd_settime(timer_descriptor.native_handle(), TFD_TIMER_ABSTIME, &when, nullptr) ==
           0);
}

void AsioLoop::Impl::wait_timer_descriptor() {
  timer_descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                              [this](const boost::system::error_code& error) {
                                if (error) return;
                                std::uint64_t fired = 0;
                                [[maybe_unused]] auto size =
                                    ::read(timer_descriptor.native_handle(), &fired, 8);
                                timer_armed.reset();
                                wait_timer_descriptor();
                              });
}

void AsioLoop::Impl::take_foreign() {
  std::vector<Callback> taken;
  {
    const std::scoped_lock lock(foreign_mutex);
    foreign_waiting.store(false, std::memory_order_release);
    taken.swap(foreign);
  }
  if (ending) return;
  for (auto& callback : taken) ready.emplace_back(std::move(callback));
}

AsioLoop::AsioLoop(AsioLoopOptions options) : impl_(std::make_unique<Impl>(options)) {}

AsioLoop::~AsioLoop() { begin_ending(); }

void AsioLoop::run() { impl_->run(); }

void AsioLoop::stop() {
  impl_->stopped.store(true, std::memory_order_release);
  boost::asio::post(impl_->io, [] {});
}

void AsioLoop::begin_ending() { impl_->ending = true; }

void AsioLoop::on_signal(int signal, Callback callback) {
  auto set = std::make_unique<boost::asio::signal_set>(impl_->io, signal);
  wait_signal(*set, std::move(callback));
  impl_->signals[signal] = std::move(set);
}

BootTime AsioLoop::now() const { return boot_now(); }

WallTime AsioLoop::wall() const { return {clock_ns(CLOCK_REALTIME)}; }

void AsioLoop::post(std::coroutine_handle<> handle) {
  if (!impl_->ending) impl_->ready.emplace_back(handle);
}

void AsioLoop::post(Callback callback) {
  if (!impl_->ending) impl_->ready.emplace_back(std::move(callback));
}

void AsioLoop::post_from_any_thread(Callback callback) {
  bool first = false;
  {
    const std::scoped_lock lock(impl_->foreign_mutex);
    impl_->foreign.push_back(std::move(callback));
    first = !impl_->foreign_waiting.exchange(true, std::memory_order_acq_rel);
  }
  if (first) boost::asio::post(impl_->io, [] {});  // the turn that follows takes it
}

Loop::TimerId AsioLoop::add_timer(BootTime at, Callback callback) {
  const auto id = ++impl_->timer_last;
  impl_->timers.emplace(std::pair(at, id), std::move(callback));
  impl_->timer_times.emplace(id, at);
  return {id};
}

void AsioLoop::cancel_timer(TimerId id) {
  const auto found = impl_->timer_times.find(id.value);
  if (found == impl_->timer_times.end()) return;
  impl_->timers.erase({found->second, id.value});
  impl_->timer_times.erase(found);
}

void AsioLoop::run_on_helper(Callback work, Callback done) {
  impl_->helpers.run([this, work = std::move(work), done = std::move(done)]() mutable {
    work();
    work = {};  // what it owned goes before anybody learns that it is done
    post_from_any_thread(std::move(done));
  });
}

bool AsioLoop::ending() const { return impl_->ending; }

}  // namespace square::env
