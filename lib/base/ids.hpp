#pragma once
// Ids are types: swapping two of them is a compile error.

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace square {

// A number that only compares and hashes. `value` is public: formats write it as it is.
template <class Tag, class Integer = std::uint64_t>
struct Id {
  Integer value = 0;
  constexpr Id() = default;
  constexpr explicit Id(Integer v) : value(v) {}
  constexpr auto operator<=>(const Id&) const = default;
  constexpr Id next() const { return Id(value + 1); }
};

using Sequence = Id<struct SequenceTag>;  // a group's operation number; 0 is "before the first"
using VolumeId = Id<struct VolumeTag>;    // never used twice in a group; 0 is none
using ObjectId = Id<struct ObjectTag>;    // 0 for volumes
using GroupId = Id<struct GroupTag, std::uint32_t>;
using Incarnation = Id<struct IncarnationTag>;  // random; new after a restore or an accepted loss
using SessionId = Id<struct SessionTag>;        // random; 0 is internal
using RequestNumber = Id<struct RequestTag>;    // counts up within a session
using SegmentId = Id<struct SegmentTag, std::uint32_t>;  // the chunk's index on every member
using Slot = Id<struct SlotTag, std::uint16_t>;          // a member's position in the pool
using TenantId = Id<struct TenantTag>;
using KeyId = Id<struct KeyTag>;  // a data key; random, never used twice

// A byte position in a journal lane's endless log; a multiple of 4 KiB. The ring keeps the last
// lap.
using LanePosition = Id<struct LanePositionTag>;

struct Uuid {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Uuid&) const = default;
  bool is_nil() const { return *this == Uuid{}; }
  // "8-4-4-4-12" in lower case.
  std::string to_string() const;
  // Errors: kInvalid.
  static Result<Uuid> parse(std::string_view text);
};

template <class Tag>
struct UuidId {
  Uuid uuid;
  auto operator<=>(const UuidId&) const = default;
  std::string to_string() const { return uuid.to_string(); }
};
using CellId = UuidId<struct CellTag>;
using NodeId = UuidId<struct NodeTag>;
using PoolId = UuidId<struct PoolTag>;
using DiskId = UuidId<struct DiskTag>;
using CoordinatorId = UuidId<struct CoordinatorTag>;

// One serving term of one process. Numbers only grow; the random id tells apart two terms that were
// given the same number by mistake (which is refused and reported, never merged).
struct Epoch {
  std::uint32_t number = 0;
  std::uint64_t random = 0;
  auto operator<=>(const Epoch&) const = default;
};

}  // namespace square

template <class Tag, class Integer>
struct std::hash<square::Id<Tag, Integer>> {
  std::size_t operator()(square::Id<Tag, Integer> id) const noexcept {
    return static_cast<std::size_t>(id.value * 0x9E3779B97F4A7C15ull);
  }
};
