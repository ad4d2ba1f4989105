#pragma once
// Who may do what: the one place that decides. An identity comes from a certificate's URI name,
// square://<cell>/<kind>/<name>.

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "env/transport.hpp"

namespace square::access {

enum class Action {
  kData,     // volumes' content
  kView,     // lists, status, health
  kControl,  // anything that changes the cell
};

// Errors: kInvalid.
Result<env::PeerIdentity> parse_identity(std::string_view uri);

// Clients: data, and looking. Operators and nodes: everything. `cell` empty: no identities here
// (the simulated transport). Errors: kDenied, saying who asked for what.
Result<> permit(const std::string& cell, const env::PeerIdentity& who, Action action);

}  // namespace square::access
