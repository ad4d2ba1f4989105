#pragma once
// One channel for operating errors: a value. See docs/architecture.md, "Errors".
//
//   Result<Label> read_label(...);
//   SQ_TRY(auto label, read_label(...));          // in a function that returns a Result
//   SQ_CO_TRY(auto label, co_await load(...));    // in a coroutine that returns an Async
//   SQ_TRY(label.check());                        // no value wanted
//
// A code exists only if a caller can act on it. Numbers are stable: they travel on the wire.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.hpp"

namespace square {

enum class Code : unsigned char {
  kInvalid = 1,          // the request itself is wrong; sending it again cannot help
  kNotFound = 2,         // no such thing
  kExists = 3,           // the name or id is taken
  kConflict = 4,         // the thing changed meanwhile; read it again
  kNoSpace = 5,          // full; free something first
  kIo = 6,               // a device failed
  kCorrupt = 7,          // bytes are not what they must be
  kBusy = 8,             // a limit is reached now; later it may work
  kUnavailable = 9,      // cannot be reached or is not serving; nothing was done
  kTimeout = 10,         // took longer than allowed; nothing was done
  kOutcomeUnknown = 11,  // it may or may not have been done
  kFenced = 12,          // a newer epoch exists: stop
  kCancelled = 13,       // stopped by the caller or by shutdown
  kUnsupported = 14,     // needs a version or feature that is not here
  kDenied = 15,          // not permitted
  kDataLoss = 16,        // more was lost than redundancy can restore; says what
};

// "no space", "io error"...; stable text for logs and --json.
std::string_view code_name(Code code);

struct Error {
  Code code;
  std::string message;

  // Adds one phrase in front: "open disk /dev/sdb: permission denied".
  Error context(std::string_view phrase) && {
    message.insert(0, ": ");
    message.insert(0, phrase);
    return std::move(*this);
  }
};

template <class T = void>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    SQ_CHECK(ok(), error().message);
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    SQ_CHECK(ok(), error().message);
    return *std::get_if<0>(&state_);
  }
  T value() && {
    SQ_CHECK(ok(), error().message);
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    SQ_CHECK(!ok(), "the error of an ok result");
    return *std::get_if<1>(&state_);
  }
  Error error() && {
    SQ_CHECK(!ok(), "the error of an ok result");
    return std::move(*std::get_if<1>(&state_));
  }
  Code code() const { return error().code; }
  bool failed_with(Code code) const { return !ok() && error().code == code; }

  Result context(std::string_view phrase) && {
    if (ok()) return std::move(*this);
    return std::move(*std::get_if<1>(&state_)).context(phrase);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  void value() const { SQ_CHECK(ok(), error_->message); }

  const Error& error() const& {
    SQ_CHECK(!ok(), "the error of an ok result");
    return *error_;
  }
  Error error() && {
    SQ_CHECK(!ok(), "the error of an ok result");
    return std::move(*error_);
  }
  Code code() const { return error().code; }
  bool failed_with(Code code) const { return !ok() && error_->code == code; }

  Result context(std::string_view phrase) && {
    if (ok()) return {};
    return std::move(*error_).context(phrase);
  }

 private:
  std::optional<Error> error_;
};

// The only way to drop a result; `why` is for the reader, and for grep.
template <class T>
void ignore(const Result<T>&, [[maybe_unused]] std::string_view why) {}

}  // namespace square

#define SQ_CAT2(a, b) a##b
#define SQ_CAT(a, b) SQ_CAT2(a, b)
#define SQ_PICK(_1, _2, name, ...) name

#define SQ_TRY_IMPL1(return_, expression)                      \
  do {                                                         \
    auto sq_result = (expression);                             \
    if (!sq_result.ok()) return_ std::move(sq_result).error(); \
  } while (false)
#define SQ_TRY_IMPL2(return_, name, target, expression) \
  auto name = (expression);                             \
  if (!name.ok()) return_ std::move(name).error();      \
  target = std::move(name).value()

#define SQ_TRY_1(expression) SQ_TRY_IMPL1(return, expression)
#define SQ_TRY_2(target, expression) \
  SQ_TRY_IMPL2(return, SQ_CAT(sq_result_, __COUNTER__), target, expression)
#define SQ_CO_TRY_1(expression) SQ_TRY_IMPL1(co_return, expression)
#define SQ_CO_TRY_2(target, expression) \
  SQ_TRY_IMPL2(co_return, SQ_CAT(sq_result_, __COUNTER__), target, expression)
#define SQ_TRY(...) SQ_PICK(__VA_ARGS__, SQ_TRY_2, SQ_TRY_1)(__VA_ARGS__)
#define SQ_CO_TRY(...) SQ_PICK(__VA_ARGS__, SQ_CO_TRY_2, SQ_CO_TRY_1)(__VA_ARGS__)
