#pragma once

#include "env/disk.hpp"
#include "env/files.hpp"
#include "env/loop.hpp"
#include "env/random.hpp"
#include "env/transport.hpp"

namespace square::env {

// The one door to the outside, passed down and never global. All members outlive their users.
struct Env {
  Loop& loop;
  Random& random;
  Disks& disks;
  Files& files;
  Transport& transport;
};

}  // namespace square::env
