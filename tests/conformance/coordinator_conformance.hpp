#pragma once
// What every Coordinator must do: the embedded one, and each that follows, pass the same cases.
//
// A Fixture has:  env::Loop& loop();
//                 void run(Task<void> task);                // runs the loop until the task has
//                 ended cluster::Coordinator& coordinator();      // new, without a record void
//                 restart();                           // of whatever keeps the state; the
//                                                           // reference from before is gone

#include <catch2/catch.hpp>
#include <vector>

#include "cluster/coordinator.hpp"
#include "env/sync.hpp"

namespace square::conformance {

inline format::GroupRecord group_record(std::uint32_t group, std::uint32_t epoch) {
  format::GroupRecord record;
  record.group = GroupId(group);
  record.incarnation = Incarnation(77);
  record.epoch = {epoch, epoch * 1000 + group};
  record.primary.uuid.bytes.fill(static_cast<std::uint8_t>(group));
  record.replica.uuid.bytes.fill(static_cast<std::uint8_t>(group + 100));
  record.in_sync = epoch % 2 == 0;
  return record;
}

namespace detail {

inline Task<void> swap_into(cluster::Coordinator& coordinator, std::uint64_t expected,
                            format::GroupRecord wanted, cluster::CoordinatorAnswer& answer) {
  auto swapped = co_await coordinator.compare_and_swap(expected, std::move(wanted));
  if (swapped.ok()) answer = *swapped;
}

inline Task<void> note_change(cluster::Coordinator& coordinator, std::uint64_t known,
                              env::Duration at_most, bool& noted) {
  ignore(co_await coordinator.wait_for_change(known, at_most), "a hint");
  noted = true;
}

}  // namespace detail

template <class Fixture>
void check_a_record_is_swapped_when_its_revision_stands(Fixture& fixture) {
  const auto body = [&]() -> Task<void> {
    auto& coordinator = fixture.coordinator();
    const auto nothing = co_await coordinator.read(GroupId(3));
    REQUIRE(nothing.ok());
    CHECK_FALSE(nothing->record);
    CHECK_FALSE(nothing->identity.uuid.is_nil());
    const auto stale = co_await coordinator.compare_and_swap(5, group_record(3, 1));
    REQUIRE(stale.ok());
    CHECK_FALSE(stale->swapped);
    CHECK_FALSE(stale->record);

    const auto first = co_await coordinator.compare_and_swap(0, group_record(3, 1));
    REQUIRE(first.ok());
    CHECK(first->swapped);
    REQUIRE(first->record);
    CHECK(first->record->revision > 0);
    CHECK(first->record->revision == first->revision);
    auto expected = group_record(3, 1);
    expected.revision = first->record->revision;
    CHECK(*first->record == expected);

    const auto again = co_await coordinator.compare_and_swap(0, group_record(3, 2));
    REQUIRE(again.ok());
    CHECK_FALSE(again->swapped);
    CHECK(again->record == expected);
    const auto second =
        co_await coordinator.compare_and_swap(expected.revision, group_record(3, 2));
    REQUIRE(second.ok());
    CHECK(second->swapped);
    CHECK(second->record->revision > expected.revision);
    const auto read = co_await coordinator.read(GroupId(3));
    REQUIRE(read.ok());
    CHECK(read->record == second->record);
    CHECK_FALSE(read->swapped);
    CHECK(read->identity == first->identity);
  };
  fixture.run(body());
}

template <class Fixture>
void check_one_of_many_swaps_wins(Fixture& fixture) {
  const auto body = [&]() -> Task<void> {
    auto& coordinator = fixture.coordinator();
    std::uint64_t expected = 0;
    for (std::uint32_t round = 1; round < 20; ++round) {
      std::vector<cluster::CoordinatorAnswer> answers(8);
      env::Scope scope(fixture.loop());
      for (std::uint32_t i = 0; i < answers.size(); ++i)
        scope.spawn(
            detail::swap_into(coordinator, expected, group_record(1, round * 100 + i), answers[i]));
      co_await scope.join();
      std::size_t won = 0;
      const auto now = co_await coordinator.read(GroupId(1));
      REQUIRE(now.ok());
      for (const auto& answer : answers) {
        won += answer.swapped ? 1 : 0;
        if (answer.swapped) CHECK(answer.record == now->record);
        REQUIRE(answer.record);
        CHECK(answer.record->revision == now->record->revision);
      }
      CHECK(won == 1);
      expected = now->record->revision;
    }
  };
  fixture.run(body());
}

template <class Fixture>
void check_groups_change_apart_under_one_revision(Fixture& fixture) {
  const auto body = [&]() -> Task<void> {
    auto& coordinator = fixture.coordinator();
    std::vector<std::uint64_t> revisions(4);
    std::uint64_t last = 0;
    for (std::uint32_t round = 1; round < 5; ++round) {
      for (std::uint32_t group = 4; group-- > 0;) {
        const auto done =
            co_await coordinator.compare_and_swap(revisions[group], group_record(group, round));
        REQUIRE(done.ok());
        REQUIRE(done->swapped);
        CHECK(done->revision > last);
        last = done->revision;
        revisions[group] = done->record->revision;
      }
    }
    const auto list = co_await coordinator.list();
    REQUIRE(list.ok());
    REQUIRE(list->size() == 4);
    for (std::uint32_t group = 0; group < 4; ++group) {
      CHECK((*list)[group].group == GroupId(group));
      CHECK((*list)[group].revision == revisions[group]);
      CHECK((*list)[group].epoch.number == 4);
    }
  };
  fixture.run(body());
}

template <class Fixture>
void check_what_was_swapped_is_there_after_a_restart(Fixture& fixture) {
  cluster::CoordinatorAnswer before, after;
  const auto write = [&]() -> Task<void> {
    auto& coordinator = fixture.coordinator();
    co_await detail::swap_into(coordinator, 0, group_record(1, 1), before);
    co_await detail::swap_into(coordinator, 0, group_record(2, 1), before);
    REQUIRE(before.swapped);
  };
  const auto read = [&]() -> Task<void> {
    auto& coordinator = fixture.coordinator();
    auto answer = co_await coordinator.read(GroupId(2));
    REQUIRE(answer.ok());
    after = *answer;
    // Revisions go on from there.
    const auto next = co_await coordinator.compare_and_swap(0, group_record(3, 1));
    REQUIRE(next.ok());
    CHECK(next->swapped);
    CHECK(next->revision > before.revision);
  };
  fixture.run(write());
  fixture.restart();
  fixture.run(read());
  CHECK(after.identity == before.identity);
  CHECK(after.record == before.record);
  CHECK(after.revision >= before.revision);
}

template <class Fixture>
void check_whoever_waits_is_told_of_a_change(Fixture& fixture) {
  using namespace std::chrono_literals;
  const auto body = [&]() -> Task<void> {
    auto& coordinator = fixture.coordinator();
    cluster::CoordinatorAnswer answer;
    co_await detail::swap_into(coordinator, 0, group_record(1, 1), answer);
    CHECK(*co_await coordinator.wait_for_change(answer.revision - 1, 1h));      // changed already
    CHECK_FALSE(*co_await coordinator.wait_for_change(answer.revision, 10ms));  // never

    env::Scope scope(fixture.loop());
    bool noted = false;
    scope.spawn(detail::note_change(coordinator, answer.revision, 1h, noted));
    co_await env::yield(fixture.loop());
    CHECK_FALSE(noted);
    co_await detail::swap_into(coordinator, 0, group_record(2, 1), answer);
    co_await scope.join();
    CHECK(noted);
  };
  fixture.run(body());
}

}  // namespace square::conformance
