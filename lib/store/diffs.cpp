// Diffs that the engine sends, and those that it takes.
#include "codec/extent_header.hpp"
#include "store/diff_source.hpp"
#include "store/engine_impl.hpp"

namespace square::store {

namespace {

// While one lives, the snapshot is not dropped.
class Pin {
 public:
  Pin(Core& core, GroupId group, Sequence snapshot)
      : core_(core), at_(core.pinned.insert({group, snapshot})) {}
  Pin(const Pin&) = delete;
  ~Pin() { core_.pinned.erase(at_); }

 private:
  Core& core_;
  std::multiset<std::pair<GroupId, Sequence>>::iterator at_;
};

}  // namespace

class Engine::Impl::Sender : public DiffStream {
 public:
  Sender(Impl& impl, format::DiffHeader wanted)
      : impl_(impl),
        target_(impl.core_, wanted.group, wanted.target.sequence),
        source_(
            impl.core_.env.loop, *impl.core_.index,
            [&core = impl.core_](const format::ExtentRef& extent) {
              return read_stored(core, extent);
            },
            wanted) {
    if (wanted.base) base_.emplace(impl.core_, wanted.group, wanted.base->snapshot.sequence);
  }

  Async<std::optional<format::DiffPiece>> next() override {
    SQ_CO_TRY(impl_.enter());
    const Visit visit(impl_);
    co_return co_await source_.next();
  }

 private:
  static Async<Buffer> read_stored(Core& core, format::ExtentRef extent) {
    const pool::Pool::Verify verify = [&extent](Bytes bytes) {
      return codec::verify_stored(bytes, extent).ok();
    };
    co_return co_await core.pool->read_place(extent.place, extent.stored_bytes, verify);
  }

  Impl& impl_;
  Pin target_;
  std::optional<Pin> base_;
  DiffSource source_;
};

Result<DiffReceiver*> Engine::Impl::receiver(GroupId id) {
  SQ_TRY(enter());
  if (!core_.options.receives)
    return Error{Code::kConflict, "this store serves clients: it takes no diffs"};
  auto& found = receivers_[id];
  if (found == nullptr)
    found = std::make_unique<DiffReceiver>(core_, id, [this] { return checkpoint(); });
  return found.get();
}

Async<> Engine::Impl::drop_received(Group& group, Sequence mark) {
  const auto landing = core_.index->landing(group.id());
  if (core_.pinned.contains({group.id(), mark}) ||
      (landing && landing->base && landing->base->snapshot.sequence == mark))
    co_return Error{Code::kBusy, "a diff that needs this snapshot is being sent or received"};
  for (const auto& held : core_.index->snapshots(group.id())) {
    if (held.id.sequence != mark) continue;
    SQ_CO_TRY(core_.index->drop_landed(group.id(), held.id));
    core_.work.set();
    co_return co_await checkpoint();
  }
  co_return Error{Code::kNotFound, "there is no such snapshot"};
}

Result<std::vector<format::SnapshotId>> Engine::snapshot_ids(GroupId group) const {
  SQ_TRY(impl_->enter());
  std::vector<format::SnapshotId> ids;
  for (const auto& held : impl_->core_.index->snapshots(group)) ids.push_back(held.id);
  return ids;
}

Result<std::unique_ptr<DiffStream>> Engine::send_diff(format::DiffHeader wanted) {
  SQ_TRY(impl_->enter());
  if (wanted.cell != impl_->core_.options.pool.cell)
    return Error{Code::kInvalid, "the diff that is wanted is of another cell"};
  return std::unique_ptr<DiffStream>(new Impl::Sender(*impl_, std::move(wanted)));
}

Async<std::optional<format::DiffHeader>> Engine::begin_receiving(
    GroupId group, format::SnapshotId target, std::vector<format::SnapshotId> offered,
    DropForks may_drop) {
  SQ_CO_TRY(auto* receiver, impl_->receiver(group));
  const Impl::Visit visit(*impl_);
  auto begun = co_await receiver->begin(std::move(target), std::move(offered), may_drop);
  SQ_CO_TRY(impl_->group(group).take_over_received());  // it may have gone back
  co_return begun;
}

Async<> Engine::receive(GroupId group, format::DiffPiece piece) {
  SQ_CO_TRY(auto* receiver, impl_->receiver(group));
  const Impl::Visit visit(*impl_);
  const bool end = std::holds_alternative<format::DiffEnd>(piece);
  auto taken = co_await receiver->take(std::move(piece));
  if (end) SQ_CO_TRY(impl_->group(group).take_over_received());
  co_return taken;
}

}  // namespace square::store
