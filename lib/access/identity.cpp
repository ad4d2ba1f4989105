#include "access/identity.hpp"

#include "base/ids.hpp"

namespace square::access {

namespace {

constexpr std::string_view kScheme = "square://";

std::string_view action_name(Action action) {
  switch (action) {
    case Action::kData: return "use the data plane";
    case Action::kView: return "look at the cell";
    case Action::kControl: return "change the cell";
  }
  return "do that";
}

}  // namespace

Result<env::PeerIdentity> parse_identity(std::string_view uri) {
  const Error bad{Code::kInvalid, "not a name of Square's: \"" + std::string(uri) + "\""};
  if (!uri.starts_with(kScheme)) return bad;
  uri.remove_prefix(kScheme.size());
  const auto slash = uri.find('/');
  if (slash == std::string_view::npos || !Uuid::parse(uri.substr(0, slash)).ok()) return bad;
  env::PeerIdentity who{std::string(uri.substr(0, slash)), std::string(uri.substr(slash + 1))};
  const auto kind_end = who.subject.find('/');
  if (kind_end == std::string::npos || kind_end + 1 == who.subject.size()) return bad;
  return who;
}

Result<> permit(const std::string& cell, const env::PeerIdentity& who, Action action) {
  if (cell.empty()) return {};
  if (who.cell != cell)
    return Error{Code::kDenied, "the certificate of \"" + who.subject + "\" is for cell \"" +
                                    who.cell + "\", this is " + cell};
  const auto is = [&](std::string_view kind) { return who.subject.starts_with(kind); };
  if (is("operator/") || is("node/")) return {};
  if (is("client/") && action != Action::kControl) return {};
  return Error{Code::kDenied,
               "\"" + who.subject + "\" may not " + std::string(action_name(action))};
}

}  // namespace square::access
