#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <latch>
#include <optional>
#include <set>

#include "conformance/disk_conformance.hpp"
#include "env/real/disk_threads.hpp"
#include "env/real/disk_uring.hpp"
#include "env/real/disks.hpp"
#include "env/real/real_disk.hpp"
#include "unit/env/real_fixture.hpp"
#include "unit/env/temporary_folder.hpp"

using namespace square;
using namespace std::chrono_literals;

namespace {

constexpr auto* kMemoryFolder = "/dev/shm";

// Disks are files; `folder` decides the file system.
class DiskFixture : public test::RealFixture {
 public:
  explicit DiskFixture(env::DiskEngine engine = env::DiskEngine::kAuto,
                       const std::string& folder = ".", env::AsioLoopOptions options = {})
      : RealFixture(options), folder_(folder), engine_(engine), disks_(loop()) {}

  Result<std::unique_ptr<env::Disk>> open(std::string path) {
    std::optional<Result<std::unique_ptr<env::Disk>>> opened;
    const auto body = [&]() -> Task<void> {
      opened = co_await disks_.open(path, env::DiskOptions{.engine = engine_});
    };
    run(body());
    return std::move(*opened);
  }
  std::unique_ptr<env::Disk> open_disk() {
    const auto name = "disk" + std::to_string(++made_);
    auto opened = open(test::make_sized_file(folder_, name, conformance::kDiskBytes));
    INFO((opened.ok() ? std::string() : opened.error().message));
    REQUIRE(opened.ok());
    return std::move(opened).value();
  }
  const test::TemporaryFolder& folder() const { return folder_; }

 private:
  test::TemporaryFolder folder_;
  env::DiskEngine engine_;
  env::RealDisks disks_;
  int made_ = 0;
};

// A device that answers when it is told to.
class HeldBackend final : public env::DiskBackend {
 public:
  void submit(std::unique_ptr<env::DiskRequest> request) override {
    held.push_back(std::move(request));
  }
  void answer_first(int error = 0) {
    auto request = std::move(held.front());
    held.erase(held.begin());
    request->error = error;
    env::finish_request(std::move(request));
  }
  std::vector<std::unique_ptr<env::DiskRequest>> held;
};

// A disk on a device that answers when it is told to.
class HeldFixture : public test::RealFixture {
 public:
  explicit HeldFixture(env::Duration deadline = 1h)
      : disk(std::make_unique<env::RealDisk>(
            loop(), backend, env::DiskInfo{"held", 1 << 20, true},
            std::make_shared<env::DiskFile>(::open("/dev/null", O_RDWR)), env::DiskIdentity{},
            deadline)) {}
  HeldBackend backend;
  std::unique_ptr<env::RealDisk> disk;
};

Task<void> note_flush(env::Disk& disk, std::vector<Result<>>& results) {
  results.push_back(co_await disk.flush());
}

}  // namespace

TEST_CASE("disks on a file system keep the contract, with io_uring", "[threads]") {
  DiskFixture fixture(env::DiskEngine::kUring);
  conformance::check_disk(fixture);
}

TEST_CASE("disks on a file system keep the contract, with threads", "[threads]") {
  DiskFixture fixture(env::DiskEngine::kThreads);
  conformance::check_disk(fixture);
}

TEST_CASE("disks in memory keep the contract, on the loop and on threads", "[threads]") {
  DiskFixture fixture(env::DiskEngine::kAuto, kMemoryFolder);
  conformance::check_disk(fixture);
}

TEST_CASE("disks in memory keep the contract, with io_uring", "[threads]") {
  DiskFixture fixture(env::DiskEngine::kUring, kMemoryFolder);
  conformance::check_disk(fixture);
}

TEST_CASE("disks keep the contract on a loop that spins", "[threads]") {
  DiskFixture fixture(env::DiskEngine::kUring, ".", env::AsioLoopOptions{.spin_max = 50us});
  conformance::check_disk(fixture);
}

TEST_CASE("what is no disk is refused, and the reason says what it is", "[threads]") {
  DiskFixture fixture;
  const auto path = fixture.folder().path("it");
  SECTION("a file that stores nothing") {
    const auto opened = fixture.open("/proc/version");
    CHECK((opened.code() == Code::kInvalid || opened.code() == Code::kDenied));
  }
  SECTION("nothing there") { CHECK(fixture.open(path).code() == Code::kNotFound); }
  SECTION("a folder") { CHECK(fixture.open(fixture.folder().path()).code() == Code::kInvalid); }
  SECTION("a FIFO, without waiting for its other end") {
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    CHECK(fixture.open(path).code() == Code::kInvalid);
  }
  SECTION("a character device") { CHECK(fixture.open("/dev/full").code() == Code::kInvalid); }
  SECTION("an empty file") {
    const auto opened = fixture.open(test::make_sized_file(fixture.folder(), "it", 0));
    REQUIRE(opened.code() == Code::kInvalid);
    CHECK(opened.error().message.find("truncate -s") != std::string::npos);
    CHECK(opened.error().message.find(path) != std::string::npos);
  }
  SECTION("a file of odd size") {
    CHECK(fixture.open(test::make_sized_file(fixture.folder(), "it", 4097)).code() ==
          Code::kInvalid);
  }
}

TEST_CASE("a disk can be opened only once at a time", "[threads]") {
  DiskFixture fixture;
  const auto path = test::make_sized_file(fixture.folder(), "it", 8192);
  auto first = fixture.open(path);
  REQUIRE(first.ok());
  CHECK(fixture.open(path).code() == Code::kBusy);
  *first = nullptr;
  CHECK(fixture.open(path).ok());
}

TEST_CASE("a disk that another process lets go of in time is waited for", "[threads]") {
  test::RealFixture fixture;
  const test::TemporaryFolder folder(".");
  const auto path = test::make_sized_file(folder, "it", 8192);
  env::RealDisks disks(fixture.loop(), 60s);
  fixture.run([](env::RealDisks& all, env::Loop& loop, std::string file) -> Task<void> {
    auto first = co_await all.open(file, {});
    REQUIRE(first.ok());
    loop.add_timer(loop.now() + 50ms, [&first] { *first = nullptr; });
    CHECK((co_await all.open(file, {})).ok());
  }(disks, fixture.loop(), path));
}

TEST_CASE("a path that no longer names the opened file is noticed", "[threads]") {
  DiskFixture fixture;
  const auto path = test::make_sized_file(fixture.folder(), "it", 8192);
  auto disk = fixture.open(path);
  REQUIRE(disk.ok());
  const auto check = [&] {
    std::optional<Result<>> checked;
    const auto body = [&]() -> Task<void> { checked = co_await (*disk)->check_path(); };
    fixture.run(body());
    return *checked;
  };
  CHECK(check().ok());
  SECTION("unlinked") {
    std::filesystem::remove(path);
    CHECK(check().code() == Code::kIo);
  }
  SECTION("replaced by another file of the same size") {
    const auto other = test::make_sized_file(fixture.folder(), "other", 8192);
    std::filesystem::rename(other, path);
    CHECK(check().code() == Code::kIo);
  }
  SECTION("truncated") {
    std::filesystem::resize_file(path, 4096);
    CHECK(check().code() == Code::kIo);
    // What is cut off cannot be read, although the disk was larger when it was opened.
    const auto body = [&]() -> Task<void> {
      auto into = Buffer::zeroed(8192);
      CHECK((co_await (*disk)->read(0, into)).code() == Code::kIo);
    };
    fixture.run(body());
  }
}

TEST_CASE("what the kernel refuses comes back as kIo from every engine", "[threads]") {
  // A descriptor that may not be written: the kernel answers EBADF.
  test::RealFixture fixture;
  test::TemporaryFolder folder(".");
  const auto path = test::make_sized_file(folder, "it", 1 << 20);
  env::ThreadBackend threads(fixture.loop());
  auto uring = env::UringBackend::create(fixture.loop(), threads);
  REQUIRE(uring.ok());
  for (env::DiskBackend* backend :
       {static_cast<env::DiskBackend*>(&threads), static_cast<env::DiskBackend*>(uring->get())}) {
    auto file = std::make_shared<env::DiskFile>(::open(path.c_str(), O_RDONLY));
    const auto identity = env::identify_file(file->fd);
    env::RealDisk disk(fixture.loop(), *backend, env::DiskInfo{path, 1 << 20, true}, file,
                       *identity, 1h);
    const auto body = [&]() -> Task<void> {
      auto buffer = Buffer::zeroed(4096);
      BufferChain chain{buffer};
      CHECK((co_await disk.write(0, chain)).code() == Code::kIo);
      CHECK((co_await disk.discard(0, 4096)).code() == Code::kIo);
      CHECK((co_await disk.read(0, buffer)).ok());
      CHECK_FALSE(disk.failed());
      CHECK(disk.stats().writes == 0);
      CHECK(disk.stats().reads == 1);
    };
    fixture.run(body());
  }
}

TEST_CASE("a flush error fails the disk for good, in every engine", "[threads]") {
  test::RealFixture fixture;
  env::ThreadBackend threads(fixture.loop());
  auto uring = env::UringBackend::create(fixture.loop(), threads);
  REQUIRE(uring.ok());
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  ::close(pipe[0]);  // a pipe cannot be synced: EINVAL
  auto file = std::make_shared<env::DiskFile>(pipe[1]);
  for (env::DiskBackend* backend :
       {static_cast<env::DiskBackend*>(&threads), static_cast<env::DiskBackend*>(uring->get())}) {
    env::RealDisk disk(fixture.loop(), *backend, env::DiskInfo{"pipe", 1 << 20, true}, file, {},
                       1h);
    const auto body = [&]() -> Task<void> {
      CHECK((co_await disk.flush()).code() == Code::kIo);
      CHECK(disk.failed());
      auto buffer = Buffer::zeroed(4096);
      CHECK((co_await disk.read(0, buffer)).code() == Code::kIo);
      CHECK((co_await disk.flush()).code() == Code::kIo);
    };
    fixture.run(body());
  }
}

TEST_CASE("the caller of a request that hangs goes on at the deadline, its memory does not",
          "[threads]") {
  const auto live_before = buffer_bytes_live();
  {
    HeldFixture fixture(20ms);
    const auto body = [&]() -> Task<void> {
      const auto result = co_await fixture.disk->read(0, Buffer::zeroed(8192));
      CHECK(result.code() == Code::kTimeout);
    };
    fixture.run(body());
    auto& disk = *fixture.disk;
    CHECK(disk.failed());
    CHECK(disk.stats().hung_bytes == 8192);
    CHECK(buffer_bytes_live() == live_before + 8192);
    std::vector<Result<>> later;
    fixture.run(note_flush(disk, later));
    CHECK(later[0].code() == Code::kIo);
    CHECK(fixture.backend.held.size() == 1);

    SECTION("an answer that comes late frees it, and the disk stays failed") {
      fixture.backend.answer_first();
      CHECK(disk.stats().hung_bytes == 0);
      CHECK(buffer_bytes_live() == live_before);
      CHECK(disk.failed());
    }
    SECTION("the disk may die first") {
      fixture.disk.reset();
      CHECK(buffer_bytes_live() == live_before + 8192);
      fixture.backend.answer_first();
      CHECK(buffer_bytes_live() == live_before);
    }
  }
  CHECK(buffer_bytes_live() == live_before);
}

TEST_CASE("the ring does not wait for a device that hangs, and never frees what it may write",
          "[threads]") {
  // A pipe that nobody writes to: the ring's read waits for ever.
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  const auto quarantined_before = env::quarantined_bytes();
  const auto live_before = buffer_bytes_live();
  {
    test::RealFixture fixture;
    env::ThreadBackend threads(fixture.loop());
    auto uring = env::UringBackend::create(fixture.loop(), threads).value();
    {
      env::RealDisk disk(fixture.loop(), *uring, env::DiskInfo{"pipe", 1 << 20, true},
                         std::make_shared<env::DiskFile>(pipe[0]), {}, 20ms);
      const auto body = [&]() -> Task<void> {
        CHECK((co_await disk.read(0, Buffer::zeroed(8192))).code() == Code::kTimeout);
      };
      fixture.run(body());
      CHECK(disk.stats().hung_bytes == 8192);
    }
    CHECK(buffer_bytes_live() == live_before + 8192);
  }
  CHECK(env::quarantined_bytes() == quarantined_before + 8192);
  CHECK(buffer_bytes_live() == live_before + 8192);
  ::close(pipe[1]);
}

TEST_CASE("a disk that hangs takes no thread from the others", "[threads]") {
  test::RealFixture fixture;
  test::TemporaryFolder folder(".");
  const auto open = [&](const std::string& name) {
    const auto path = test::make_sized_file(folder, name, 1 << 20);
    return std::make_shared<env::DiskFile>(::open(path.c_str(), O_RDWR));
  };
  const auto hangs = open("hangs"), works = open("works");
  std::latch answer(1);
  env::ThreadBackend threads(fixture.loop(), [&](env::DiskRequest& request) {
    if (request.file == hangs) answer.wait();
    env::execute_blocking(request);
  });
  const env::DiskInfo info{"it", 1 << 20, true};
  env::RealDisk hung(fixture.loop(), threads, info, hangs, *env::identify_file(hangs->fd), 1h);
  env::RealDisk disk(fixture.loop(), threads, info, works, *env::identify_file(works->fd), 1h);
  std::vector<Result<>> ended;
  const auto body = [&]() -> Task<void> {
    env::Scope reads(fixture.loop());
    for (int i = 0; i < 32; ++i)
      reads.spawn([](env::RealDisk& from, std::vector<Result<>>& out) -> Task<void> {
        out.push_back(co_await from.read(0, Buffer::zeroed(4096)));
      }(hung, ended));
    co_await env::yield(fixture.loop());
    CHECK((co_await disk.read(0, Buffer::zeroed(4096))).ok());
    CHECK(ended.empty());
    answer.count_down();
    co_await reads.join();
  };
  fixture.run(body());
  CHECK(ended.size() == 32);
}

TEST_CASE("an abandoned pool leaves its threads behind, and drops what has not started",
          "[threads]") {
  struct Shared {
    std::atomic<bool> started{false}, go{false}, ended{false};
  };
  const auto shared = std::make_shared<Shared>();
  auto dropped = std::make_shared<int>(0);
  const std::weak_ptr<int> watch = dropped;
  {
    env::ThreadPool pool("test", 1);
    pool.run([shared] {
      shared->started = true;
      shared->started.notify_all();
      shared->go.wait(false);
      shared->ended = true;
      shared->ended.notify_all();
    });
    shared->started.wait(false);
    pool.run([dropped] { FAIL("ran"); });
    dropped.reset();
    pool.abandon();
    CHECK(watch.expired());
  }
  CHECK_FALSE(shared->ended);
  shared->go = true;
  shared->go.notify_all();
  shared->ended.wait(false);
}

TEST_CASE("requests that are answered in time do not run into a deadline", "[threads]") {
  HeldFixture fixture(20ms);
  const auto body = [&]() -> Task<void> {
    for (int i = 0; i < 20; ++i) {
      auto answer = [&] { fixture.backend.answer_first(); };
      fixture.loop().add_timer(fixture.loop().now() + 3ms, answer);
      CHECK((co_await fixture.disk->read(0, Buffer::zeroed(4096))).ok());
    }
  };
  fixture.run(body());
  CHECK_FALSE(fixture.disk->failed());
}

TEST_CASE("flushes run one at a time, and those that wait share the next", "[threads]") {
  HeldFixture fixture;
  std::vector<Result<>> results;
  const auto body = [&]() -> Task<void> {
    env::Scope scope(fixture.loop());
    for (int i = 0; i < 4; ++i) scope.spawn(note_flush(*fixture.disk, results));
    co_await env::yield(fixture.loop());
    REQUIRE(fixture.backend.held.size() == 1);
    SECTION("all well") {
      fixture.backend.answer_first();
      co_await env::yield(fixture.loop());
      CHECK(results.size() == 1);
      REQUIRE(fixture.backend.held.size() == 1);
      fixture.backend.answer_first();
      co_await scope.join();
      CHECK(results.size() == 4);
      for (const auto& result : results) CHECK(result.ok());
      CHECK(fixture.disk->stats().flushes == 4);
    }
    SECTION("the one that runs fails: nobody who waits hears ok") {
      fixture.backend.answer_first(EIO);
      co_await scope.join();
      CHECK(fixture.backend.held.empty());
      CHECK(results.size() == 4);
      for (const auto& result : results) CHECK(result.code() == Code::kIo);
    }
    SECTION("the shared one fails: all who share hear it") {
      fixture.backend.answer_first();
      fixture.backend.answer_first(EIO);
      co_await scope.join();
      CHECK(results.size() == 4);
      CHECK(results[0].ok());
      for (std::size_t i = 1; i < 4; ++i) CHECK(results[i].code() == Code::kIo);
    }
    SECTION("a flush that ends well on a disk that failed meanwhile proves nothing") {
      fixture.disk->fail("a write was lost");
      fixture.backend.answer_first();
      co_await scope.join();
      for (const auto& result : results) CHECK(result.code() == Code::kIo);
    }
  };
  fixture.run(body());
}

TEST_CASE("a request that the device cut short goes on where it stopped", "[threads]") {
  env::DiskRequest request;
  request.op = env::DiskOp::kRead;
  request.size = 16384;
  request.buffers = {Buffer::allocate(4096), Buffer::allocate(12288)};
  request.prepare_pieces();
  CHECK_FALSE(request.answered(-EINTR));
  CHECK_FALSE(request.answered(8192));
  CHECK(request.position() == 8192);
  CHECK(request.next_piece_count() == 1);
  CHECK(request.next_pieces()->iov_base == request.buffers[1].data() + 4096);
  CHECK(request.next_pieces()->iov_len == 8192);
  SECTION("to its end") {
    CHECK(request.answered(8192));
    CHECK(request.error == 0);
  }
  SECTION("into the end of the device") {
    CHECK(request.answered(0));
    CHECK(request.error == EIO);
  }
  SECTION("by an odd size") {
    CHECK(request.answered(100));
    CHECK(request.error == EIO);
  }
  SECTION("by an error") {
    CHECK(request.answered(-ENOSPC));
    CHECK(request.error == ENOSPC);
  }
}

TEST_CASE("a disk may go away on an ending loop while requests wait", "[threads]") {
  std::optional<HeldFixture> fixture;
  fixture.emplace();
  {
    env::Scope scope(fixture->loop());
    std::vector<Result<>> results;
    scope.spawn(note_flush(*fixture->disk, results));
    scope.spawn(note_flush(*fixture->disk, results));
    const auto body = [&]() -> Task<void> { co_await env::yield(fixture->loop()); };
    fixture->run(body());
    fixture->loop().begin_ending();
    fixture->disk.reset();
    CHECK(results.empty());
  }
  fixture.reset();
}
