#pragma once

#include <vector>

#include "env/sync.hpp"

namespace square::pool {

namespace detail {
inline Task<void> store_result(Async<> task, Result<>* into) { *into = co_await task; }
}  // namespace detail

// Runs all of them at once; the results stand in the order of the tasks.
inline Task<std::vector<Result<>>> run_all(env::Loop& loop, std::vector<Async<>> tasks) {
  std::vector<Result<>> results(tasks.size());
  env::Scope scope(loop);
  for (std::size_t i = 0; i < tasks.size(); ++i)
    scope.spawn(detail::store_result(std::move(tasks[i]), &results[i]));
  co_await scope.join();
  co_return results;
}

inline std::size_t count_ok(const std::vector<Result<>>& results) {
  std::size_t good = 0;
  for (const auto& result : results) good += result.ok() ? 1 : 0;
  return good;
}

}  // namespace square::pool
