// The page that a person sees at the metrics address, with the files that it
// loads from there.
#ifndef LOSSD_SERVER_OBSERVABILITY_STATUS_PAGE_H_
#define LOSSD_SERVER_OBSERVABILITY_STATUS_PAGE_H_

#include <string>

#include "server/observability/http_server.h"
#include "server/observability/log_line.h"

namespace lossd::observability {

// Returns an HTML page with whether the server is serving, with the facts of
// the line that the log has at the start, and with links to the other pages.
// Its script reads /metrics and shows what the server does (D94).
std::string StatusPage(bool serving, const LogFields& facts);

// Adds the page's style and scripts, as /page/NAME.
void AddPageFiles(HttpPages& pages);

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_STATUS_PAGE_H_
