#include "format/label.hpp"

#include "codec/checksum.hpp"
#include "pool_fixture.hpp"

using namespace square;
using namespace square::pool;
using pool::test::Cluster;
using pool::test::Shape;

namespace {

ByteVector first_copy(Cluster& t, std::size_t i) { return t.medium(i).peek(0, kBlockBytes); }

format::Label label_of(Cluster& t, std::size_t i) {
  return format::decode_label(first_copy(t, i)).value();
}

void write_all_copies(Cluster& t, std::size_t i, Bytes block) {
  for (const auto offset : label_offsets(t.shape.disk_bytes)) t.medium(i).poke(offset, block);
}

std::string why(Cluster& t, std::size_t i) { return t.disk(i).why; }

}  // namespace

TEST_CASE("format writes four labels on each disk, and refuses a disk that carries one") {
  Cluster t(Shape{4, 1, 1});
  REQUIRE(t.format().ok());
  for (std::size_t i = 0; i < 6; ++i)
    for (const auto offset : label_offsets(t.shape.disk_bytes)) {
      const auto label = format::decode_label(t.medium(i).peek(offset, kBlockBytes));
      REQUIRE(label.ok());
      CHECK(label->role == (i < 5 ? format::DiskRole::kMember : format::DiskRole::kSpare));
    }
  CHECK(t.format().code() == Code::kExists);
}

TEST_CASE("format writes nothing at all when one disk carries one label copy, even a torn one") {
  for (const std::size_t copy : {0u, 1u, 2u, 3u}) {
    Cluster t(Shape{2, 1, 0});
    auto torn = ByteVector(kBlockBytes);
    std::memcpy(torn.data(), "SQLABEL\0", 8);
    t.medium(2).poke(label_offsets(t.shape.disk_bytes)[copy], torn);
    CHECK(t.format().code() == Code::kExists);
    CHECK(first_copy(t, 0) == ByteVector(kBlockBytes));
    REQUIRE(t.node.run(Pool::wipe_disk(t.node.env(), t.paths[2])).ok());
    CHECK(t.format().ok());
  }
}

TEST_CASE("format refuses too few, doubled and too small disks") {
  Cluster t(Shape{4, 2, 0});
  auto options = t.format_options();
  options.paths.pop_back();
  CHECK(t.node.run(Pool::format(t.node.env(), options)).code() == Code::kInvalid);
  options.paths.push_back(options.paths[0]);
  CHECK(t.node.run(Pool::format(t.node.env(), options)).code() == Code::kInvalid);
  Cluster small(Shape{2, 1, 0, 8u << 20});
  CHECK(small.format().code() == Code::kInvalid);
  options = t.format_options();
  options.chunk_bytes = 12'345;
  CHECK(t.node.run(Pool::format(t.node.env(), options)).code() == Code::kInvalid);
  options = t.format_options();
  options.k = 0;
  CHECK(t.node.run(Pool::format(t.node.env(), options)).code() == Code::kInvalid);
}

TEST_CASE("an error while formatting is said, at whatever call") {
  for (std::uint64_t call = 1; call < 60; ++call) {
    Cluster t(Shape{2, 1, 0});
    t.node.disks().plan().arm({sim::DiskFault::kIoError, call});
    const auto formatted = t.format();
    const bool fired = t.node.disks().counts().of(sim::DiskFault::kIoError) > 0;
    CHECK(formatted.ok() == !fired);
    if (!formatted.ok()) CHECK(formatted.code() == Code::kIo);
  }
}

TEST_CASE("chosen sizes keep their bounds") {
  FormatOptions options;
  for (const std::uint64_t mib : {64ull, 256ull, 1024ull, 100'000ull, 20'000'000ull}) {
    const auto geometry = choose_geometry(mib << 20, options);
    REQUIRE(geometry.ok());
    CHECK(geometry->chunk_bytes >= 512u << 10);
    CHECK(geometry->chunk_bytes <= 64u << 20);
    CHECK(geometry->chunks >= 48);
    CHECK(geometry->journal_bytes >= 4u << 20);
    CHECK(geometry->journal_bytes <= 64u << 20);
    CHECK(disk_bytes_needed(*geometry) <= mib << 20);
  }
}

TEST_CASE("a label reads back, and any changed byte of it is noticed") {
  Cluster t(Shape{8, 2, 2});
  t.ready();
  REQUIRE(t.checkpoint(1, {1}).ok());
  REQUIRE(t.checkpoint(2, {1}).ok());
  auto block = first_copy(t, 3);
  const auto label = format::decode_label(block);
  REQUIRE(label.ok());
  CHECK(format::encode_label(*label) == block);
  CHECK(label->newest->id.number == 2);
  CHECK(label->previous->id.number == 1);
  for (std::size_t i = 0; i < block.size(); i += 7) {
    block[i] ^= std::byte{0x10};
    const auto bad = format::decode_label(block);
    CHECK_FALSE(bad.ok());
    block[i] ^= std::byte{0x10};
  }
}

TEST_CASE("one good label copy of four is enough") {
  for (std::size_t good = 0; good < kLabelCopies; ++good) {
    Cluster t(Shape{2, 1, 0});
    t.ready();
    t.stop();
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t copy = 0; copy < kLabelCopies; ++copy)
        if (copy != good)
          t.medium(i).spoil(label_offsets(t.shape.disk_bytes)[copy], kBlockBytes, copy);
    t.reopen();
    for (std::size_t i = 0; i < 3; ++i) CHECK(t.disk(i).state == DiskState::kMember);
  }
}

TEST_CASE("opening nothing, or blank disks, says that there is no pool") {
  Cluster t(Shape{2, 1, 0});
  CHECK(t.open().code() == Code::kUnavailable);
  t.paths.clear();
  CHECK(t.open().code() == Code::kUnavailable);
}

TEST_CASE("with fewer than k members the pool does not open, and says what is missing") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  t.stop();
  for (std::size_t i = 0; i < 3; ++i) t.node.disks().detach(t.paths[i]);
  const auto opened = t.open();
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.code() == Code::kUnavailable);
  CHECK(opened.error().message.find("slot 0") != std::string::npos);
  CHECK(opened.error().message.find("/dev/d2") != std::string::npos);
}

TEST_CASE("disks may be given in any order") {
  Cluster t(Shape{4, 2, 1});
  t.ready();
  REQUIRE(t.store({50'000}).ok());
  t.stop();
  std::ranges::reverse(t.paths);
  t.reopen();
  CHECK(t.pool->status().members_live == 6);
  CHECK(t.pool->status().spares_free == 1);
  std::ranges::reverse(t.paths);
  CHECK(t.unreadable() == 0);
}

TEST_CASE("a disk of another cell, node or pool is foreign and never written") {
  Cluster t(Shape{4, 2, 1});
  t.ready();
  t.stop();
  auto label = label_of(t, 1);
  label.cell.uuid.bytes[0] ^= 1;
  write_all_copies(t, 1, format::encode_label(label));
  label = label_of(t, 2);
  label.node.uuid.bytes[0] ^= 1;
  write_all_copies(t, 2, format::encode_label(label));
  label = label_of(t, 6);
  label.pool.uuid.bytes[0] ^= 1;
  write_all_copies(t, 6, format::encode_label(label));
  const std::vector before{first_copy(t, 1), first_copy(t, 2), first_copy(t, 6)};
  t.reopen();
  REQUIRE(t.checkpoint(1, {1}).ok());
  CHECK(t.disk(1).state == DiskState::kForeign);
  CHECK(why(t, 1).find("cell") != std::string::npos);
  CHECK(why(t, 2).find("node") != std::string::npos);
  CHECK(why(t, 6).find("pool") != std::string::npos);
  CHECK(t.pool->status().members_live == 4);
  CHECK(t.node.run(t.pool->reconcile()).value().empty());
  CHECK(before == std::vector{first_copy(t, 1), first_copy(t, 2), first_copy(t, 6)});
}

TEST_CASE("a cloned disk and its original are both refused, by name") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  t.stop();
  t.node.disks().attach("/dev/clone", t.medium(3).clone());
  t.paths.push_back("/dev/clone");
  t.reopen();
  CHECK(t.pool->status().members_live == 5);
  CHECK(why(t, 3).find("/dev/clone") != std::string::npos);
  CHECK(t.disk(6).state == DiskState::kForeign);
}

TEST_CASE("a label of a newer format is refused with a clear text and never overwritten") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  t.stop();
  auto newer = first_copy(t, 0);
  newer[8] = std::byte{2};
  const auto sum = codec::checksum64(Bytes(newer).first(kBlockBytes - 8));
  std::memcpy(newer.data() + kBlockBytes - 8, &sum, 8);
  t.medium(0).poke(label_offsets(t.shape.disk_bytes)[1], newer);  // one copy says it
  t.reopen();
  CHECK(t.disk(0).state == DiskState::kForeign);
  CHECK(why(t, 0).find("newer version") != std::string::npos);
  CHECK(t.format().code() == Code::kExists);
  t.stop();
  for (std::size_t i = 0; i < 6; ++i) write_all_copies(t, i, newer);
  CHECK(t.open().code() == Code::kUnsupported);
  CHECK(first_copy(t, 0) == newer);
}

TEST_CASE("an unknown feature is refused when incompatible, and kept out of the way when not") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  t.stop();
  auto label = label_of(t, 0);
  label.incompat_features = 4;
  write_all_copies(t, 0, format::encode_label(label));
  label = label_of(t, 1);
  label.compat_features = 4;
  write_all_copies(t, 1, format::encode_label(label));
  t.reopen();
  CHECK(t.disk(0).state == DiskState::kForeign);
  CHECK(t.disk(1).state == DiskState::kMember);
}

TEST_CASE("a disk that was rolled back by two checkpoints is refused, by one it is not") {
  for (const std::uint64_t behind : {1u, 2u}) {
    Cluster t(Shape{4, 2, 0});
    t.ready();
    REQUIRE(t.checkpoint(1, {1}).ok());
    const auto image = t.medium(2).snapshot();
    for (std::uint64_t n = 2; n < 2 + behind; ++n) REQUIRE(t.checkpoint(n, {n}).ok());
    t.crash(sim::CrashKind::kKill);
    t.medium(2).roll_back(image);
    const auto loaded = t.reopen();
    REQUIRE(loaded);
    CHECK(loaded->id.number == 1 + behind);
    CHECK(t.checkpoint_reads(*loaded));
    CHECK(t.disk(2).state == (behind == 1 ? DiskState::kMember : DiskState::kFailed));
    if (behind == 2) CHECK(why(t, 2).find("rolled back") != std::string::npos);
  }
}

TEST_CASE("a disk that failed stays failed after a restart, and its label is not touched") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  REQUIRE(t.node.run(t.pool->fail_disk(Slot(1), "by hand")).ok());
  CHECK(t.lost == std::vector{Slot(1)});
  CHECK(t.disk(1).state == DiskState::kFailed);
  CHECK(why(t, 1) == "by hand");
  CHECK(t.node.run(t.pool->fail_disk(Slot(1), "again")).code() == Code::kNotFound);
  const auto before = first_copy(t, 1);
  t.reopen();
  CHECK(t.disk(1).state == DiskState::kFailed);
  REQUIRE(t.checkpoint(1, {1}).ok());
  CHECK(first_copy(t, 1) == before);
}

TEST_CASE("no member is failed by hand when that would lose data") {
  Cluster t(Shape{2, 1, 0});
  t.ready();
  REQUIRE(t.node.run(t.pool->fail_disk(Slot(0), "by hand")).ok());
  CHECK(t.node.run(t.pool->fail_disk(Slot(1), "by hand")).code() == Code::kConflict);
}

TEST_CASE("a truncated disk, and one whose geometry differs, are refused") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  t.stop();
  auto label = label_of(t, 4);
  label.chunks -= 1;
  write_all_copies(t, 4, format::encode_label(label));
  const auto block = first_copy(t, 5);
  t.node.disks().detach(t.paths[5]);
  auto& shorter = t.node.disks().add("/dev/short", t.shape.disk_bytes / 2);
  t.paths[5] = "/dev/short";
  shorter.poke(0, block);
  t.reopen();
  CHECK(why(t, 4).find("geometry") != std::string::npos);
  CHECK(why(t, 5).find("smaller") != std::string::npos);
  CHECK(t.pool->status().members_live == 4);
}

TEST_CASE(
    "a crash at any I/O of a change of membership leaves one membership, before or after it") {
  for (std::uint64_t call = 1;; ++call) {
    Cluster t(Shape{2, 2, 0}, call);
    t.ready();
    REQUIRE(t.checkpoint(1, {1}).ok());
    t.node.disks().plan().arm({sim::DiskFault::kCrash, call});
    t.node.run_or_crash(t.pool->fail_disk(Slot(0), "by hand"));
    const bool crashed = !t.node.running();
    t.node.disks().plan().disarm();
    if (crashed) {
      t.pool.reset();
      t.node.restart();
    }
    const auto loaded = t.reopen();
    REQUIRE(loaded);
    REQUIRE(t.checkpoint_reads(*loaded));
    for (std::size_t i = 1; i < 4; ++i) REQUIRE(t.disk(i).state == DiskState::kMember);
    const auto state = t.disk(0).state;
    REQUIRE((state == DiskState::kMember || state == DiskState::kFailed));
    t.crash();
    t.reopen();
    REQUIRE(t.disk(0).state == state);
    if (!crashed) {
      CHECK(call > 8);
      break;
    }
  }
}

TEST_CASE("a term that began is known at every later start, whichever disks are there") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  for (std::uint16_t away = 0; away < 6; ++away) {
    const auto begun = t.pool->last_epoch();
    t.crash();
    // What the term wrote may lie on this disk alone.
    const auto paths = t.paths;
    t.paths.erase(t.paths.begin() + away);
    t.reopen();
    CHECK(t.pool->last_epoch() == begun + 1);
    t.paths = paths;
  }
}

TEST_CASE("a spare counts only from the moment that labels name it in its slot") {
  Cluster t(Shape{4, 2, 1});
  t.ready();
  REQUIRE(t.node.run(t.pool->fail_disk(Slot(1), "by hand")).ok());
  t.medium(6).set_hung(true);  // the spare, while its label is written
  Result<std::string> reconciled = std::string();
  env::Scope scope(t.node.loop());
  const auto run = [](Pool* pool, Result<std::string>* out) -> Task<void> {
    *out = co_await pool->reconcile();
  };
  scope.spawn(run(t.pool.get(), &reconciled));
  t.world.run_for(std::chrono::seconds(1));
  CHECK(t.pool->live_slots().size() == 5);
  CHECK(t.pool->disks()[1].state == DiskState::kRebuilding);
  t.medium(6).set_hung(false);
  t.world.run_until([&] { return scope.size() == 0; }, std::chrono::minutes(1));
  CHECK(reconciled.ok());
  CHECK(t.pool->live_slots().size() == 6);
  CHECK(label_of(t, 6).slot == Slot(1));
}

TEST_CASE("changes of membership that crashes cut short one after another leave the pool whole") {
  for (std::uint64_t first = 1; first <= 30; first += 3) {
    for (std::uint64_t second = 1; second <= 30; second += 2) {
      INFO("crash at call " << first << ", then at call " << second);
      Cluster t(Shape{4, 2, 0}, first * 100 + second);
      t.ready();
      t.node.disks().plan().arm({sim::DiskFault::kCrash, first});
      t.node.run_or_crash(t.pool->fail_disk(Slot(0), "by hand"));
      t.node.disks().plan().disarm();
      t.crash();
      REQUIRE(t.open().ok());
      REQUIRE(t.node.run(t.pool->load_checkpoint()).ok());
      t.medium(1).plan().arm({sim::DiskFault::kIoError, 1, sim::kWrite});
      BufferChain block{Buffer::zeroed(kBlockBytes)};
      CHECK_FALSE(t.node.run(t.pool->write(Slot(1), 0, std::move(block))).ok());
      t.node.disks().plan().arm({sim::DiskFault::kCrash, second});
      t.node.run_or_crash(t.pool->begin_epoch(t.pool->last_epoch() + 1));
      t.node.disks().plan().disarm();
      t.crash();
      t.reopen();
      for (std::size_t i = 2; i < 6; ++i) CHECK(t.disk(i).state == DiskState::kMember);
    }
  }
}
