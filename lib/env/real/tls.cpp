#include "env/real/tls.hpp"

#include <openssl/pem.h>

#include <algorithm>
#include <climits>
#include <optional>

#include "env/real/openssl_handles.hpp"

namespace square::env {

namespace {

constexpr std::size_t kInputBytes = 64u << 10;

Result<PeerIdentity> identity_of(X509* certificate) {
  const GeneralNamesHandle names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  constexpr std::string_view kScheme = "square://";
  std::optional<PeerIdentity> found;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const auto* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const auto* text = name->d.uniformResourceIdentifier;
    const std::string_view uri(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                               static_cast<std::size_t>(ASN1_STRING_length(text)));
    if (!uri.starts_with(kScheme)) continue;
    const auto rest = uri.substr(kScheme.size());
    const auto slash = rest.find('/');
    if (slash == 0 || slash == std::string_view::npos || slash + 1 == rest.size() ||
        rest.find('\0') != std::string_view::npos)
      return Error{Code::kDenied, "certificate has a malformed identity"};
    if (found) return Error{Code::kDenied, "certificate has more than one identity"};
    found = PeerIdentity{std::string(rest.substr(0, slash)), std::string(rest.substr(slash + 1))};
  }
  if (!found) return Error{Code::kDenied, "certificate has no square:// identity"};
  return *found;
}

Result<PeerIdentity> identity_in_cell(X509* certificate, const std::string& cell) {
  SQ_TRY(auto identity, identity_of(certificate));
  if (identity.cell != cell)
    return Error{Code::kDenied,
                 "certificate is of cell " + identity.cell + ", this is cell " + cell};
  return identity;
}

Error config_error(std::string_view what) {
  return Error{Code::kInvalid, std::string(what) + ": " + take_openssl_reason()};
}

std::vector<CertificateHandle> parse_certificates(std::string_view pem) {
  std::vector<CertificateHandle> all;
  const auto bio = bio_over(pem);
  while (auto* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) all.emplace_back(one);
  ERR_clear_error();  // the end of the text is an error to OpenSSL
  return all;
}

}  // namespace

struct TlsContext::Impl {
  SslContextHandle ssl;
  std::string cell;
  PeerIdentity own;
};

struct TlsSession::Impl {
  std::shared_ptr<const TlsContext> context;
  std::string refusal;  // why we refused the peer's certificate
  PeerIdentity peer;
  std::optional<Error> broken;  // for the call after the one that still had bytes
  SslHandle ssl;

  // Bytes from the network: [in_at, in_end) of `in` has not been read by OpenSSL.
  std::unique_ptr<std::byte[]> in = std::make_unique_for_overwrite<std::byte[]>(kInputBytes);
  std::size_t in_at = 0, in_end = 0;
  // Bytes for the network: [out_at, out_end) of `out`.
  std::unique_ptr<std::byte[]> out;
  std::size_t out_at = 0, out_end = 0, out_space = 0;

  void append_output(Bytes bytes);
  Result<Step> failure(int result, std::string_view what);
};

void TlsSession::Impl::append_output(Bytes bytes) {
  if (out_end + bytes.size() > out_space) {
    const auto space = std::max(out_space * 2, out_end + bytes.size());
    auto larger = std::make_unique_for_overwrite<std::byte[]>(space);
    if (out_end > out_at) std::memcpy(larger.get() + out_at, out.get() + out_at, out_end - out_at);
    out = std::move(larger);
    out_space = space;
  }
  std::memcpy(out.get() + out_end, bytes.data(), bytes.size());
  out_end += bytes.size();
}

namespace {

// The BIO between OpenSSL and the two buffers: no copy and no system call of its own.
template <class Session>
struct BufferBio {
  static int write(BIO* bio, const char* data, int size) {
    auto* session = static_cast<Session*>(BIO_get_data(bio));
    session->append_output(
        {reinterpret_cast<const std::byte*>(data), static_cast<std::size_t>(size)});
    return size;
  }
  static int read(BIO* bio, char* data, int size) {
    auto* session = static_cast<Session*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const auto part = std::min(session->in_end - session->in_at, static_cast<std::size_t>(size));
    if (part == 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    std::memcpy(data, session->in.get() + session->in_at, part);
    session->in_at += part;
    return static_cast<int>(part);
  }
  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }
  static int create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }
  static const BIO_METHOD* method() {
    static const BIO_METHOD* made = [] {
      auto* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "square buffers");
      BIO_meth_set_write(m, write);
      BIO_meth_set_read(m, read);
      BIO_meth_set_ctrl(m, control);
      BIO_meth_set_create(m, create);
      return m;
    }();
    return made;
  }
};

bool about_certificates(int reason) {
  switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_NO_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return true;
    default: return false;
  }
}

}  // namespace

// ---- context

namespace {

// OpenSSL has judged the chain; the identity is ours to judge.
template <class Session>
int verify_peer(int chain_ok, X509_STORE_CTX* store) {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* session = static_cast<Session*>(SSL_get_app_data(ssl));
  if (chain_ok != 1) {
    session->refusal = X509_verify_cert_error_string(X509_STORE_CTX_get_error(store));
    return 0;
  }
  if (X509_STORE_CTX_get_error_depth(store) != 0) return 1;
  auto identity =
      identity_in_cell(X509_STORE_CTX_get_current_cert(store), session->context->impl().cell);
  if (!identity.ok()) {
    session->refusal = identity.error().message;
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return 0;
  }
  session->peer = std::move(identity).value();
  return 1;
}

Result<> use_certificates(SSL_CTX* ssl, const TlsPems& pems, const std::string& cell,
                          PeerIdentity& own) {
  const auto authorities = parse_certificates(pems.authorities);
  if (authorities.empty()) return config_error("no certificate among the authorities");
  for (const auto& authority : authorities)
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), authority.get()) != 1)
      return config_error("use an authority");
  const auto chain = parse_certificates(pems.certificate);
  if (chain.empty()) return config_error("our certificate is not one in PEM");
  if (SSL_CTX_use_certificate(ssl, chain.front().get()) != 1)
    return config_error("use our certificate");
  for (std::size_t i = 1; i < chain.size(); ++i)
    if (SSL_CTX_add1_chain_cert(ssl, chain[i].get()) != 1) return config_error("use our chain");
  const KeyHandle key(PEM_read_bio_PrivateKey(bio_over(pems.key).get(), nullptr, nullptr, nullptr));
  if (key == nullptr) return config_error("our key is not one in PEM");
  if (SSL_CTX_use_PrivateKey(ssl, key.get()) != 1 || SSL_CTX_check_private_key(ssl) != 1)
    return config_error("our key does not fit our certificate");
  auto identity = identity_in_cell(chain.front().get(), cell);
  if (!identity.ok()) return Error{Code::kInvalid, "our " + identity.error().message};
  own = std::move(identity).value();
  return {};
}

}  // namespace

TlsContext::TlsContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsContext::~TlsContext() = default;
const PeerIdentity& TlsContext::own() const { return impl_->own; }

// ---- session

TlsSession::TlsSession(std::shared_ptr<const TlsContext> context, Role role)
    : impl_(std::make_unique<Impl>()) {
  impl_->context = std::move(context);
  impl_->ssl.reset(SSL_new(impl_->context->impl().ssl.get()));
  auto* bio = BIO_new(BufferBio<Impl>::method());
  SQ_CHECK(impl_->ssl != nullptr && bio != nullptr, "out of memory");
  BIO_set_data(bio, impl_.get());
  SSL_set_bio(impl_->ssl.get(), bio, bio);
  SSL_set_app_data(impl_->ssl.get(), impl_.get());
  SSL_set_verify(impl_->ssl.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                 verify_peer<Impl>);
  if (role == Role::kServer)
    SSL_set_accept_state(impl_->ssl.get());
  else
    SSL_set_connect_state(impl_->ssl.get());
}

TlsSession::~TlsSession() = default;

const PeerIdentity& TlsSession::peer() const { return impl_->peer; }

Result<TlsSession::Step> TlsSession::Impl::failure(int result, std::string_view what) {
  switch (SSL_get_error(ssl.get(), result)) {
    case SSL_ERROR_WANT_READ: return Step::kWantsInput;
    case SSL_ERROR_ZERO_RETURN: return Step::kEnded;
    default: break;
  }
  const auto reason = ERR_GET_REASON(ERR_peek_error());
  const auto text = take_openssl_reason();
  if (!refusal.empty()) return Error{Code::kDenied, "refused the peer's certificate: " + refusal};
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
    return Error{Code::kDenied, "the peer has shown no certificate"};
  if (about_certificates(reason))
    return Error{Code::kDenied, "the peer refused our certificate: " + text};
  return Error{Code::kUnavailable, std::string(what) + ": " + text};
}

Result<TlsSession::Step> TlsSession::handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(impl_->ssl.get());
  if (result == 1) return Step::kDone;
  return impl_->failure(result, "TLS handshake");
}

Result<TlsSession::Step> TlsSession::open(MutableBytes into, std::size_t& size) {
  size = 0;
  if (impl_->broken) return *impl_->broken;
  while (size < into.size()) {
    ERR_clear_error();
    std::size_t part = 0;
    const int result = SSL_read_ex(impl_->ssl.get(), into.data() + size, into.size() - size, &part);
    if (result == 1) {
      size += part;
      continue;
    }
    auto stopped = impl_->failure(result, "TLS");
    if (!stopped.ok()) impl_->broken = stopped.error();
    if (size == 0) return stopped;
    break;
  }
  return Step::kDone;
}

Result<> TlsSession::seal(Bytes bytes) {
  if (bytes.empty()) return {};
  ERR_clear_error();
  std::size_t written = 0;
  if (SSL_write_ex(impl_->ssl.get(), bytes.data(), bytes.size(), &written) != 1)
    return Error{Code::kUnavailable, "TLS: " + take_openssl_reason()};
  SQ_CHECK(written == bytes.size(), "TLS sealed a part");
  return {};
}

void TlsSession::seal_end() {
  ERR_clear_error();
  if (SSL_is_init_finished(impl_->ssl.get())) SSL_shutdown(impl_->ssl.get());
  ERR_clear_error();
}

MutableBytes TlsSession::input_space() {
  auto& i = *impl_;
  if (i.in_at == i.in_end) i.in_at = i.in_end = 0;
  return {i.in.get() + i.in_end, kInputBytes - i.in_end};
}

void TlsSession::took_in(std::size_t size) { impl_->in_end += size; }

Bytes TlsSession::output() const {
  return {impl_->out.get() + impl_->out_at, impl_->out_end - impl_->out_at};
}

void TlsSession::sent(std::size_t size) {
  impl_->out_at += size;
  if (impl_->out_at == impl_->out_end) impl_->out_at = impl_->out_end = 0;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::create(const TlsPems& pems,
                                                             std::string cell) {
  auto impl = std::make_unique<Impl>();
  impl->cell = std::move(cell);
  impl->ssl.reset(SSL_CTX_new(TLS_method()));
  auto* ssl = impl->ssl.get();
  if (ssl == nullptr) return config_error("TLS");
  SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(ssl, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384");
  // No resumption: every connection shows its certificates.
  SSL_CTX_set_num_tickets(ssl, 0);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SQ_TRY(use_certificates(ssl, pems, impl->cell, impl->own));
  return std::shared_ptr<const TlsContext>(std::make_shared<TlsContext>(std::move(impl)));
}

}  // namespace square::env
