#include "server/door/credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

namespace lossd::door {

std::shared_ptr<grpc::ServerCredentials> MakeCredentials(
    const TlsFiles& files) {
  using grpc::experimental::FileWatcherCertificateProvider;
  if (files.certificate.empty()) return grpc::InsecureServerCredentials();
  constexpr unsigned kRereadSeconds = 10;
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<FileWatcherCertificateProvider>(
          files.key, files.certificate, files.client_authorities,
          kRereadSeconds));
  options.watch_identity_key_cert_pairs();
  if (!files.client_authorities.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace lossd::door
