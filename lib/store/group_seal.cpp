// From content to a sealed operation in the log.
#include "store/seal_job.hpp"

namespace square::store {

using format::OperationType;

namespace {

constexpr std::uint32_t kSealInlineBytesMax = 128u << 10;  // above: about 50 us, a helper's work

}  // namespace

// Holds job.stored_bytes of the write buffer, which are given back when it fails, and else when the
// index has taken the operation.
Async<> Group::seal_and_log(SealJob job) {
  auto sealer = co_await seals_.borrow(job.frames);
  // The volume may have been deleted meanwhile, and purged: nothing may be written into it then.
  const auto look_again = [&]() -> Result<const codec::SecretKey*> {
    if (!sealer.ok()) return sealer.error();
    SQ_TRY(core_.alive());
    SQ_TRY(may_log(job.type));
    SQ_TRY(record_of(job.volume, std::nullopt));
    return core_.keys.data_key(job.key);
  };
  const auto key = look_again();
  if (!key.ok()) {
    core_.write_buffer.release(job.stored_bytes);
    co_return key.error();
  }

  const auto logged = take_sequence(job.type, job.request);
  logged->stored_bytes = logged->held_bytes = job.stored_bytes;
  logged->direct =
      job.type == OperationType::kWrite && job.content_bytes >= core_.options.direct_bytes_min;
  codec::ExtentIdentity identity;
  identity.cell = core_.cell_tag();
  identity.incarnation = incarnation_;
  identity.container = job.volume;
  identity.id = {epoch_.number, logged->operation.sequence, 0};

  Result<std::vector<codec::SealedExtent>> sealed = std::vector<codec::SealedExtent>{};
  if (job.content_bytes <= kSealInlineBytesMax) {
    sealed = job.seal(**sealer, **key, identity);
  } else {
    auto& worker = **sealer;
    auto work = [&worker, data_key = *key, &job, identity] {
      return std::make_optional(job.seal(worker, *data_key, identity));
    };
    auto result = co_await env::offload(core_.env.loop, std::move(work));
    sealed = std::move(*result);
  }
  {
    const auto give_back = std::move(*sealer);
  }

  if (!sealed.ok()) {
    // The sequence is taken and must be filled: with nothing.
    logged->operation.type = OperationType::kVoid;
    logged->operation.session = {};
    logged->operation.request = {};
    core_.write_buffer.release(std::exchange(logged->held_bytes, 0));
    logged->stored_bytes = 0;
    logged->direct = false;
    ready(logged);
    ignore(co_await committed(logged), "the caller is told why it was void");
    co_return std::move(sealed).error();
  }
  format::WriteBody body;
  body.volume = job.volume;
  body.expected = std::move(job.expected);
  for (std::size_t i = 0; i < sealed->size(); ++i) {
    body.extents.push_back({job.extents[i].offset, (*sealed)[i].ref});
    logged->stored.push_back(std::move((*sealed)[i].stored));
  }
  logged->operation.body = std::move(body);
  ready(logged);
  co_return co_await committed(logged);
}

}  // namespace square::store
