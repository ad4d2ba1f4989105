#include "daemon/last_words.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <thread>

namespace square::daemon {

namespace {

constexpr std::string_view kMagic{"SQLASTW1"};
constexpr std::size_t kPageBytes = 4096;
constexpr auto kLockPatience = std::chrono::seconds(3);

struct Page {
  std::array<char, 8> magic;
  std::atomic<std::uint32_t> clean;
  Activities activities;
};
static_assert(sizeof(Page) == 28 && std::atomic<std::uint32_t>::is_always_lock_free);

// A second process on the same folder must not wipe the page of the first, which may end at any
// moment: one that was killed keeps its locks until the kernel has ended its I/O.
bool lock(int fd) {
  const auto end = std::chrono::steady_clock::now() + kLockPatience;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

// The file's blocks are there before it is mapped: a full file system must not end the process at a
// store to memory.
void* map_page(int fd) {
  if (posix_fallocate(fd, 0, kPageBytes) != 0) return nullptr;
  void* memory = mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

std::optional<LastWords> decode_last_words(Bytes page) {
  Reader in(page);
  if (!std::ranges::equal(in.get_raw(kMagic.size()), as_bytes(kMagic))) return std::nullopt;
  LastWords words;
  words.clean = in.get<std::uint32_t>() != 0;
  for (auto& count : words.in_flight) in.get(count);
  if (!in.ok()) return std::nullopt;
  return words;
}

std::string last_words_text(const LastWords& words) {
  if (words.clean) return {};
  std::string text;
  for (std::size_t i = 0; i < words.in_flight.size(); ++i)
    if (words.in_flight[i] != 0)
      text += (text.empty() ? "" : ", ") + std::to_string(words.in_flight[i]) + " " +
              std::string(kActivityNames[i]);
  return "killed in the middle of: " + (text.empty() ? "nothing" : text);
}

LastWordsPage LastWordsPage::open(const std::string& file) {
  LastWordsPage out;
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return out;
  void* memory = lock(fd) ? map_page(fd) : nullptr;
  if (memory == nullptr) {
    close(fd);
    return out;
  }
  out.before_ = decode_last_words({static_cast<const std::byte*>(memory), sizeof(Page)});
  auto* page = new (memory) Page{};
  std::ranges::copy(kMagic, page->magic.begin());
  out.clean_ = &page->clean;
  const std::shared_ptr<Page> kept(page, [fd](Page* p) {
    munmap(p, kPageBytes);
    close(fd);  // and with it goes the lock
  });
  out.activities_ = {kept, &page->activities};
  return out;
}

void LastWordsPage::end_clean() {
  if (clean_ != nullptr) clean_->store(1);
}

}  // namespace square::daemon
