// What a group makes of the records that recovery finds: its log up to the first gap, and nothing
// that a later term has voided.
#include "base/planted.hpp"
#include "unit/store/group_rig.hpp"

using namespace square;
using namespace square::test;
using format::OperationType;

namespace {

// The log of a group as its terms wrote it; each operation continues the chain.
struct Log {
  format::Operation add(std::uint64_t sequence, std::uint32_t epoch, std::uint64_t commit = 0) {
    format::Operation operation;
    operation.type = OperationType::kVoid;
    return finish(std::move(operation), sequence, epoch, commit);
  }
  format::Operation term(std::uint64_t sequence, std::uint32_t epoch, std::uint64_t last) {
    format::Operation operation;
    operation.type = OperationType::kTermMark;
    operation.body = format::TermBody{{epoch - 1, 0}, Sequence(last), chain};
    return finish(std::move(operation), sequence, epoch, last);
  }
  format::Hash128 chain{};

 private:
  format::Operation finish(format::Operation operation, std::uint64_t sequence, std::uint32_t epoch,
                           std::uint64_t commit) {
    operation.group = GroupId(1);
    operation.incarnation = Incarnation(7);
    operation.epoch = {epoch, epoch * 11ull};
    operation.sequence = Sequence(sequence);
    operation.commit = Sequence(commit);
    chain = format::chain_hash(chain, operation);
    operation.chain = chain;
    return operation;
  }
};

struct Recovery {
  explicit Recovery(const std::vector<format::Operation>& found) {
    must(rig.group->restore());
    for (const auto& operation : found) {
      if (replayed.ok())
        replayed = rig.group->replay(operation, {}, {}, LanePosition(position++ * 4096));
    }
    if (replayed.ok()) replayed = rig.group->adopt_tail();
  }
  GroupRig rig;
  Result<> replayed;
  std::uint64_t position = 1;
};

// Term 1 wrote 1 to 3; term 2 knew of 1 and 2 only, and went on from there.
std::vector<format::Operation> voided_tail() {
  Log log;
  std::vector found{log.add(1, 1), log.add(2, 1)};
  auto other = log;
  found.push_back(other.add(3, 1));
  found.push_back(log.term(3, 2, 2));
  found.push_back(log.add(4, 2, 3));
  return found;
}

}  // namespace

TEST_CASE("a group's log ends at the first gap above everything that was acknowledged") {
  Log log;
  std::vector found{log.add(1, 1), log.add(2, 1, 1), log.add(3, 1, 1), log.add(4, 1, 1)};
  found.erase(found.begin() + 2);
  Recovery recovery(found);
  must(recovery.replayed);
  CHECK(recovery.rig.group->commit() == Sequence(2));
  must(recovery.rig.rig.run(recovery.rig.group->begin_term(recovery.rig.epoch)));
  CHECK(recovery.rig.leg->seen.front() == std::pair(Sequence(3), OperationType::kTermMark));
}

TEST_CASE("a gap below what a record calls acknowledged is data loss, and said so") {
  Log log;
  std::vector found{log.add(1, 1), log.add(2, 1), log.add(3, 1), log.add(4, 1, 3)};
  found.erase(found.begin() + 2);
  CHECK(Recovery(found).replayed.code() == Code::kDataLoss);
}

TEST_CASE("what an older term left above a term mark is void, whichever is found first") {
  auto found = voided_tail();
  CHECK(Recovery(found).rig.group->commit() == Sequence(4));
  std::swap(found[2], found[3]);
  Recovery recovery(found);
  must(recovery.replayed);
  CHECK(recovery.rig.group->commit() == Sequence(4));
}

TEST_CASE("two terms that claim one sequence without a term mark between are refused") {
  Log log;
  std::vector found{log.add(1, 1)};
  auto other = log;
  found.push_back(log.add(2, 1));
  found.push_back(other.add(2, 2));
  CHECK(Recovery(found).replayed.code() == Code::kCorrupt);
}

TEST_CASE("an operation that does not continue the group's chain is refused") {
  Log log, other;
  std::vector found{log.add(1, 1), log.add(2, 1)};
  other.chain[0] = std::byte{1};
  found[1] = other.add(2, 1);
  CHECK(Recovery(found).replayed.code() == Code::kCorrupt);
}

TEST_CASE("an operation that is found again, carried or placed, counts once") {
  Log log;
  std::vector found{log.add(1, 1), log.add(2, 1)};
  found.push_back(found[0]);
  found.push_back(found[1]);
  Recovery recovery(found);
  must(recovery.replayed);
  CHECK(recovery.rig.group->commit() == Sequence(2));
  CHECK(recovery.rig.group->replayed() == 2);
}

#ifdef SQUARE_PLANTED_BUGS
TEST_CASE("the planted bug of a voided tail that is kept is found") {
  REQUIRE(set_planted_bug("void_tail_kept").ok());
  const auto code = Recovery(voided_tail()).replayed.code();
  clear_planted_bugs();
  CHECK(code == Code::kCorrupt);
}
#endif
