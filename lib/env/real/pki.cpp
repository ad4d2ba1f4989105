#include "env/real/pki.hpp"

#include <openssl/bn.h>
#include <openssl/pem.h>

#include "base/units.hpp"
#include "env/real/openssl_handles.hpp"

namespace square::env {

namespace {

Error pki_error(std::string_view what) {
  return Error{Code::kInvalid, std::string(what) + ": " + take_openssl_reason()};
}

Result<std::string> text_of(BIO* bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  if (size <= 0) return pki_error("write PEM");
  return std::string(data, static_cast<std::size_t>(size));
}

Result<CertificatePair> to_pem(X509* certificate, EVP_PKEY* key) {
  BioHandle certificate_out(BIO_new(BIO_s_mem())), key_out(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_X509(certificate_out.get(), certificate) != 1 ||
      PEM_write_bio_PrivateKey(key_out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return pki_error("write PEM");
  CertificatePair pair;
  SQ_TRY(pair.certificate, text_of(certificate_out.get()));
  SQ_TRY(pair.key, text_of(key_out.get()));
  return pair;
}

bool set_time(ASN1_TIME* field, WallTime time) {
  return ASN1_TIME_set(field, static_cast<time_t>(time.ns / 1'000'000'000)) != nullptr;
}

bool set_random_serial(X509* certificate) {
  std::unique_ptr<BIGNUM, FreeWith<BN_free>> number(BN_new());
  return BN_rand(number.get(), 159, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool add_extension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// Added as objects, not as configuration text: a name with a comma in it stays one name.
bool add_name(GENERAL_NAMES* all, int type, const std::string& value) {
  ASN1_STRING* text = nullptr;
  if (type == GEN_IPADD) {
    text = a2i_IPADDRESS(value.c_str());
  } else {
    text = ASN1_IA5STRING_new();
    if (text != nullptr) ASN1_STRING_set(text, value.data(), static_cast<int>(value.size()));
  }
  if (text == nullptr) return false;
  auto* name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, type, text);
  return sk_GENERAL_NAME_push(all, name) > 0;
}

bool add_subject_names(X509* certificate, const CertificateOrder& order) {
  GeneralNamesHandle all(sk_GENERAL_NAME_new_null());
  bool ok = order.uri.empty() || add_name(all.get(), GEN_URI, order.uri);
  for (const auto& name : order.names) ok = ok && add_name(all.get(), GEN_DNS, name);
  for (const auto& address : order.addresses) ok = ok && add_name(all.get(), GEN_IPADD, address);
  if (!ok || sk_GENERAL_NAME_num(all.get()) == 0) return ok;
  return X509_add1_ext_i2d(certificate, NID_subject_alt_name, all.get(), 0, 0) == 1;
}

// Version, serial, subject, key and time: what every certificate has.
Result<CertificateHandle> begin_certificate(EVP_PKEY* key, const std::string& name,
                                            Validity validity) {
  CertificateHandle certificate(X509_new());
  // A common name has at most 64 characters; the identity is in the URI.
  const auto shown = name.substr(0, 64);
  auto* subject = X509_get_subject_name(certificate.get());
  if (X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      !set_random_serial(certificate.get()) ||
      !set_time(X509_getm_notBefore(certificate.get()), validity.from) ||
      !set_time(X509_getm_notAfter(certificate.get()), validity.until) ||
      X509_set_pubkey(certificate.get(), key) != 1 ||
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(shown.c_str()), -1, -1,
                                 0) != 1)
    return pki_error("make certificate for " + name);
  return certificate;
}

std::string time_text(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "an unreadable time";
  return rfc3339(static_cast<std::int64_t>(timegm(&parts)) * 1'000'000'000);
}

}  // namespace

std::string take_openssl_reason() {
  const auto code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "";
  if (const auto* reason = ERR_reason_error_string(code)) return reason;
  char text[128];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

Validity Validity::days(WallTime now, int days) {
  constexpr std::int64_t kHour = 3'600'000'000'000;
  return {{now.ns - kHour}, {now.ns + days * 24 * kHour}};
}

std::string identity_uri(std::string_view cell, std::string_view subject) {
  return "square://" + std::string(cell) + "/" + std::string(subject);
}

Result<CertificatePair> make_authority(const std::string& name, Validity validity) {
  const KeyHandle key(EVP_EC_gen("P-256"));
  if (key == nullptr) return pki_error("make key");
  SQ_TRY(auto certificate, begin_certificate(key.get(), name, validity));
  auto* made = certificate.get();
  if (X509_set_issuer_name(made, X509_get_subject_name(made)) != 1 ||
      !add_extension(made, made, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(made, made, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(made, made, NID_subject_key_identifier, "hash") ||
      X509_sign(made, key.get(), EVP_sha256()) <= 0)
    return pki_error("make authority " + name);
  return to_pem(made, key.get());
}

Result<CertificatePair> issue_certificate(const CertificatePair& authority,
                                          const CertificateOrder& order) {
  const CertificateHandle issuer(
      PEM_read_bio_X509(bio_over(authority.certificate).get(), nullptr, nullptr, nullptr));
  if (issuer == nullptr) return pki_error("read the authority's certificate");
  const KeyHandle issuer_key(
      PEM_read_bio_PrivateKey(bio_over(authority.key).get(), nullptr, nullptr, nullptr));
  if (issuer_key == nullptr) return pki_error("read the authority's key");
  const KeyHandle key(EVP_EC_gen("P-256"));
  if (key == nullptr) return pki_error("make key");

  const auto last_part = order.uri.substr(order.uri.rfind('/') + 1);
  SQ_TRY(auto certificate,
         begin_certificate(key.get(), last_part.empty() ? "square" : last_part, order.validity));
  auto* made = certificate.get();
  if (X509_set_issuer_name(made, X509_get_subject_name(issuer.get())) != 1 ||
      !add_subject_names(made, order) ||
      !add_extension(made, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(made, issuer.get(), NID_key_usage, "critical,digitalSignature") ||
      !add_extension(made, issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth") ||
      !add_extension(made, issuer.get(), NID_subject_key_identifier, "hash") ||
      !add_extension(made, issuer.get(), NID_authority_key_identifier, "keyid") ||
      X509_sign(made, issuer_key.get(), EVP_sha256()) <= 0)
    return pki_error("issue certificate " + order.uri);
  return to_pem(made, key.get());
}

Result<> check_validity(const std::string& name, const std::string& pem, WallTime now) {
  const CertificateHandle certificate(
      PEM_read_bio_X509(bio_over(pem).get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) return pki_error(name + " is no certificate");
  const auto at = static_cast<time_t>(now.ns / 1'000'000'000);
  const auto* until = X509_get0_notAfter(certificate.get());
  const auto* from = X509_get0_notBefore(certificate.get());
  if (ASN1_TIME_cmp_time_t(until, at) < 0)
    return Error{Code::kDenied, "the certificate " + name + " expired at " + time_text(until) +
                                    "; it must be renewed"};
  if (ASN1_TIME_cmp_time_t(from, at) > 0)
    return Error{Code::kDenied, "the certificate " + name + " is valid from " + time_text(from) +
                                    " on; is the clock right?"};
  return {};
}

Result<> write_certificate_pair(Files& files, const std::string& path,
                                const CertificatePair& pair) {
  SQ_TRY(files.write_atomic(path + ".key", as_bytes(pair.key)));
  return files.write_atomic(path + ".crt", as_bytes(pair.certificate));
}

}  // namespace square::env
