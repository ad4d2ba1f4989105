// Seal ids over serving terms: no (key, nonce) pair comes twice, whatever crashed in between.
#include "store/seals.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "base/planted.hpp"
#include "sim/env/sim_process.hpp"
#include "unit/codec/sealing.hpp"

using namespace square;
using namespace square::test;

namespace {

// What a nonce is made of, with the seal that its key comes from.
using Pair = std::pair<codec::SealId, std::uint32_t>;

// The group's log of seals, and terms that seal with it.
class Terms {
 public:
  // A term that recovers every record of the log, and seals `extents` with up to `sealers` at once.
  void run(int extents, std::size_t sealers) {
    store::Seals seals(process_.env(), sealers,
                       [this](std::uint32_t reference, codec::SealId id) -> Async<> {
                         log_.emplace(reference, id);
                         co_return {};
                       });
    for (const auto& [reference, id] : std::map(log_)) seals.restore(reference, id);
    std::vector<store::Seals::Borrowed> borrowed;
    for (int i = 0; i < extents; ++i) {
      if (borrowed.size() == sealers) borrowed.clear();
      auto sealer = process_.run(seals.borrow(1));
      REQUIRE(sealer.ok());
      borrowed.push_back(std::move(*sealer));
      seal_one(*borrowed.back());
    }
  }
  // A term whose record of a new seal did not become durable: the log knows nothing of it.
  void run_and_lose_its_log(int extents) {
    const auto before = log_;
    run(extents, 1);
    log_ = before;
  }

  bool any_pair_twice() const { return twice_; }
  std::size_t pairs() const { return used_.size(); }
  const std::map<std::uint32_t, codec::SealId>& log() const { return log_; }

 private:
  void seal_one(codec::Sealer& sealer) {
    const auto sealed = seal_sample(sealer, content_, 14);
    const auto header = codec::decode_extent_header(sealed.stored.bytes());
    REQUIRE(header.ok());
    const auto& id = log_.at(header->seal);
    if (!used_.emplace(id, header->first_counter).second) twice_ = true;
  }

  sim::SimWorld world_{1};
  sim::SimProcess& process_ = world_.add_process("n1");
  ByteVector content_ = random_bytes(kBlockBytes, 3);
  std::map<std::uint32_t, codec::SealId> log_;
  std::set<Pair> used_;
  bool twice_ = false;
};

void run_terms(Terms& terms) {
  terms.run(5, 1);
  terms.run(7, 3);
  terms.run_and_lose_its_log(4);
  terms.run(5, 2);
}

}  // namespace

TEST_CASE("no serving term goes on with an older one's seal and counter") {
  Terms terms;
  run_terms(terms);
  CHECK_FALSE(terms.any_pair_twice());
  CHECK(terms.pairs() == 21);
}

TEST_CASE("a sealer that was given back goes on counting, and its seal is recorded once") {
  Terms terms;
  terms.run(50, 1);
  CHECK(terms.log().size() == 1);
  CHECK_FALSE(terms.any_pair_twice());
}

TEST_CASE("a sealer whose record was refused seals nothing, and the next one can be borrowed") {
  sim::SimWorld world(1);
  auto& process = world.add_process("n1");
  int calls = 0;
  store::Seals seals(process.env(), 1, [&](std::uint32_t, codec::SealId) -> Async<> {
    if (++calls == 1) co_return Error{Code::kUnavailable, "the log has failed"};
    co_return {};
  });
  CHECK(process.run(seals.borrow(1)).code() == Code::kUnavailable);
  CHECK(seals.find(1).code() == Code::kCorrupt);
  CHECK(process.run(seals.borrow(1)).ok());
}

#ifdef SQUARE_PLANTED_BUGS
TEST_CASE("the planted bug of a nonce that comes again after a restart is found") {
  REQUIRE(set_planted_bug("seal_goes_on").ok());
  Terms terms;
  run_terms(terms);
  clear_planted_bugs();
  CHECK(terms.any_pair_twice());
}
#endif
