#include "server/door/credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <atomic>
#include <list>
#include <string>
#include <utility>

namespace lossd::door {
namespace {

// Hands certificates to one of gRPC's ports at the beginning of each handshake.
class PortCertificates {
 public:
  explicit PortCertificates(const Certificates* certificates)
      : certificates_(certificates) {}

  // Sets `config`, which the caller then owns, if there is something new since
  // the last call. This is gRPC's callback, with this object as `self`.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    auto& port = *static_cast<PortCertificates*>(self);
    const Certificates::Material material = port.certificates_->Current();
    if (port.version_.exchange(material.version) == material.version) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    const grpc_ssl_pem_key_cert_pair pair = {
        material.pair.key.c_str(), material.pair.certificates.c_str()};
    // gRPC insists on authorities even if it asks clients for no certificate;
    // then it does not use them.
    const std::string& authorities = material.authorities.has_value()
                                         ? material.authorities->certificates
                                         : material.pair.certificates;
    *config = grpc_ssl_server_certificate_config_create(authorities.c_str(),
                                                        &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

 private:
  const Certificates* const certificates_;
  std::atomic<int64_t> version_{0};
};

// gRPC's C++ API has no credentials that are asked for a certificate, and its
// own reader of files takes a pair before it fits together. Its C API has them.
class FetchedCredentials final : public grpc::ServerCredentials {
 public:
  explicit FetchedCredentials(const Certificates* certificates)
      : certificates_(certificates) {}

  // Only gRPC's own kinds of authentication would use it.
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/)
      override {}

 private:
  // Each port has a state of its own, because it asks for itself.
  int AddPortToServer(const std::string& address,
                      grpc_server* server) override {
    PortCertificates& port = ports_.emplace_back(certificates_);
    const bool mutual = certificates_->Current().authorities.has_value();
    grpc_server_credentials* made =
        grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                mutual
                    ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                    : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
                &PortCertificates::Fetch, &port));
    const int bound = grpc_server_add_http2_port(server, address.c_str(), made);
    grpc_server_credentials_release(made);
    return bound;
  }

  const Certificates* const certificates_;
  std::list<PortCertificates> ports_;  // gRPC has pointers to them
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeCredentials(
    const Certificates* certificates) {
  if (certificates == nullptr) return grpc::InsecureServerCredentials();
  return std::make_shared<FetchedCredentials>(certificates);
}

}  // namespace lossd::door
