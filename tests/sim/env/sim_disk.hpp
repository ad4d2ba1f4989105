#pragma once
// The disks of one simulated process: paths at which media are attached, and what is open of them.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "env/disk.hpp"
#include "sim/env/sim_loop.hpp"
#include "sim/env/sim_medium.hpp"

namespace square::sim {

class SimDisks;
class SimProcess;

class SimDisk final : public env::Disk {
 public:
  SimDisk(SimDisks& disks, SimLoop& loop, SimMedium& medium, std::string path,
          env::DiskOptions options);
  ~SimDisk() override;

  const env::DiskInfo& info() const override { return info_; }
  const env::DiskStats& stats() const override { return stats_; }
  Async<> read(std::uint64_t offset, Buffer into) override;
  Async<> write(std::uint64_t offset, BufferChain chain) override;
  Async<> flush() override;
  Async<> discard(std::uint64_t offset, std::uint64_t size) override;
  Async<> check_path() override;
  void fail(std::string why) override;
  bool failed() const override { return !why_failed_.empty(); }

 private:
  friend class SimMedium;
  friend class SimDisks;
  struct Wait;
  Async<> request(SimMedium::Request request);
  Error dead() const { return {Code::kIo, info_.path + ": " + why_failed_}; }

  SimDisks& disks_;
  SimLoop& loop_;
  SimMedium& medium_;
  std::uint64_t attachment_;
  env::DiskOptions options_;
  env::DiskInfo info_;
  env::DiskStats stats_;
  std::string why_failed_;
};

class SimDisks final : public env::Disks {
 public:
  explicit SimDisks(SimProcess& process) : process_(process) {}

  Async<std::unique_ptr<env::Disk>> open(std::string path, env::DiskOptions options) override;

  // A new, empty disk at `path`.
  SimMedium& add(const std::string& path, std::uint64_t size_bytes);
  // Another medium appears at `path`; who has the old one open notices by check_path().
  void attach(const std::string& path, SimMedium& medium);
  void detach(const std::string& path);
  bool has(const std::string& path) const { return media_.contains(path); }
  SimMedium& at(const std::string& path);
  // Sees every write that a disk is asked for.
  std::function<void(std::uint64_t offset, const BufferChain& chain)> watch;
  // Faults by calls counted over all disks of this process.
  FaultPlan& plan() { return plan_; }
  FaultCounts counts() const;
  // For media that are added later, too.
  void set_timing(DiskTiming timing);
  void set_strict_overlap(bool strict);

 private:
  friend class SimDisk;
  friend class SimMedium;
  friend class SimProcess;
  void crashed(bool power_loss);

  SimProcess& process_;
  std::map<std::string, SimMedium*> media_;
  std::vector<SimMedium*> known_;  // all that were ever attached
  std::map<const SimMedium*, SimDisk*> open_;
  FaultPlan plan_;
  DiskTiming timing_;
  bool strict_overlap_ = false;
};

}  // namespace square::sim
