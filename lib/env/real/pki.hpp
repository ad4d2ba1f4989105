#pragma once
// A small certificate authority: for playgrounds and tests, and for cells that have no other.
// ECDSA on P-256. An identity is a URI in the certificate: square://CELL/SUBJECT.

#include <string>
#include <vector>

#include "env/files.hpp"
#include "env/loop.hpp"

namespace square::env {

// PEM. The key is not encrypted.
struct CertificatePair {
  std::string certificate;
  std::string key;
};

struct Validity {
  WallTime from;
  WallTime until;
  // From an hour ago, for clocks that differ.
  static Validity days(WallTime now, int days);
};

// "square://<cell uuid>/<subject>"
std::string identity_uri(std::string_view cell, std::string_view subject);

struct CertificateOrder {
  std::string uri;                     // identity_uri(); "" makes a certificate without identity
  std::vector<std::string> names;      // DNS names
  std::vector<std::string> addresses;  // IP addresses
  Validity validity;
};

// A self-signed authority. Errors: kInvalid.
Result<CertificatePair> make_authority(const std::string& name, Validity validity);
// For both ends of a connection. Errors: kInvalid (the authority does not parse, a bad address).
Result<CertificatePair> issue_certificate(const CertificatePair& authority,
                                          const CertificateOrder& order);
// Whether the (first) certificate of a PEM text is valid at that time. Errors: kDenied (expired, or
// not valid yet: says when), kInvalid (not a certificate). `name` is for the message.
Result<> check_validity(const std::string& name, const std::string& pem, WallTime now);
// Writes PATH.crt and PATH.key, mode 0600.
Result<> write_certificate_pair(Files& files, const std::string& path, const CertificatePair& pair);

}  // namespace square::env
