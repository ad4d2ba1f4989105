#pragma once
// One group over a real lane, pool and index, with a leg that a test looks into and holds back.

#include <functional>

#include "env/sync.hpp"
#include "store/group.hpp"
#include "store/local_leg.hpp"
#include "unit/store/engine_rig.hpp"

namespace square::test {

// What the group hands to its leg, in the order of the calls. The operations really go to the
// lane; an answer waits while its sequence is held.
class WatchedLeg : public store::Leg {
 public:
  explicit WatchedLeg(store::Core& core) : changed_(core.env.loop), local_(core) {}

  Async<> log(std::shared_ptr<store::LoggedOperation> logged) override {
    const auto sequence = logged->operation.sequence;
    seen.emplace_back(sequence, logged->operation.type);
    if (fails) co_return Error{Code::kIo, "the leg has failed"};
    SQ_CO_TRY(co_await local_.log(std::move(logged)));
    answered.push_back(sequence);
    while (held == sequence) co_await changed_.wait();
    co_return {};
  }
  void release() {
    held.reset();
    changed_.pulse();
  }

  std::vector<std::pair<Sequence, format::OperationType>> seen;
  std::vector<Sequence> answered;  // durable on this leg, in that order
  std::optional<Sequence> held;
  bool fails = false;

 private:
  env::Event changed_;
  store::LocalLeg local_;
};

class GroupRig : public pool::StripeCatalog {
 public:
  // `prepare` sees the index before the group does.
  explicit GroupRig(const std::function<void(index::Index&)>& prepare = {}) {
    rig.keys =
        must(codec::KeyStore::open(rig.process.files(), rig.process.random(), EngineRig::kKeys));
    core = std::make_unique<store::Core>(rig.process.env(), rig.options, *rig.keys);
    core->pool = must(rig.run(pool::Pool::open(core->env, rig.options.pool)));
    REQUIRE_FALSE(must(rig.run(core->pool->load_checkpoint())).has_value());
    journal::LaneConfig config;
    config.pool = core->pool->id();
    config.ring_bytes = core->pool->geometry().journal_bytes;
    config.copies = static_cast<std::uint8_t>(core->pool->geometry().m + 1);
    core->lane = std::make_unique<journal::Lane>(core->env, *core->pool, config);
    must(rig.run(core->lane->recover({})));
    index::MapKvFactory files(rig.storage);
    core->index = must(index::Index::open(must(files.create_empty())));
    if (prepare) prepare(*core->index);
    must(rig.run(core->lane->restore_copies()));
    core->lane->start(epoch, [this](const journal::DurableRecord& record) {
      core->ledger.arrived(record.position);
    });
    core->pool->serve(epoch.number, this, [](Slot) {});
    auto watched = std::make_unique<WatchedLeg>(*core);
    leg = watched.get();
    group = std::make_unique<store::Group>(*core, GroupId(1), std::move(watched));
    core->on_failed = [this] { group->fail_waiters(*core->failed); };
  }
  ~GroupRig() override {
    rig.process.crash(sim::CrashKind::kKill);
    group.reset();
    core.reset();
  }
  Result<> begin() {
    SQ_TRY(group->restore());
    SQ_TRY(group->adopt_tail());
    return rig.run(group->begin_term(epoch));
  }
  Async<> write(VolumeId volume, std::uint64_t offset, const ByteVector& content) {
    return group->write(volume, offset, Buffer::copy_of(content), ingest_of(content), {});
  }
  void run_until(const std::function<bool()>& done) { CHECK(rig.world.run_until(done)); }

  Result<std::optional<format::StripeDescriptor>> find(SegmentId, format::Generation,
                                                       std::uint32_t) override {
    return std::optional<format::StripeDescriptor>{};
  }
  Result<std::vector<format::StripeDescriptor>> in_segment(SegmentId) override {
    return std::vector<format::StripeDescriptor>{};
  }

  static std::vector<std::uint64_t> ingest_of(Bytes content) {
    std::vector<std::uint64_t> hashes;
    for (std::size_t at = 0; at < content.size(); at += kBlockBytes)
      hashes.push_back(codec::checksum64(content.subspan(at, kBlockBytes)));
    return hashes;
  }

  EngineRig rig;
  Epoch epoch{9, 42};
  std::unique_ptr<store::Core> core;
  std::unique_ptr<store::Group> group;
  WatchedLeg* leg = nullptr;
};

}  // namespace square::test
