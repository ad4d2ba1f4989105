#include "bench/runs.hpp"

namespace square::bench {

std::span<const Run> all_runs() {
  static constexpr Run kRuns[] = {
      {"seal", "sealing and opening, frames of 4, 16 and 64 KiB", run_seal},
      {"parity", "encoding 8 + 2, recovering 1 and 2 strips", run_parity},
      {"journal", "group commit on m + 1 disks, depth 1 and 32", run_journal},
      {"destage", "stripes of small extents", run_destage},
      {"index", "putting and looking up mappings", run_index},
      {"engine-seq-write", "1 MiB writes, one behind the other", run_engine_seq_write},
      {"engine-random-write", "4 KiB writes at random, depth 1 and 32", run_engine_random_write},
      {"degraded-read", "reads with 0, 1 and 2 disks lost", run_degraded_read},
      {"cleaning", "overwriting at 70 % full", run_cleaning},
      {"rebuild", "a spare is filled", run_rebuild},
      {"scrub", "every strip is read and checked", run_scrub},
      {"checkpoint", "the index goes to the pool, whole and after a change", run_checkpoint},
      {"recovery", "start after kill -9, and without an index", run_recovery},
      {"diff", "1 % changed in volumes of 1, 2 and 6 GiB", run_diff},
      {"diff-stream", "a snapshot and a change of 1 % go to another engine", run_diff_stream},
      {"memory", "resident as the volume grows; index bytes per TiB", run_memory},
      {"idle", "an engine that nobody asks", run_idle},
  };
  return kRuns;
}

}  // namespace square::bench
