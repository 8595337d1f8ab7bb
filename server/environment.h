// The variables of the environment that are no flags.
#ifndef LOSSD_SERVER_ENVIRONMENT_H_
#define LOSSD_SERVER_ENVIRONMENT_H_

#include <string>
#include <vector>

namespace lossd {

// Returns the names of all variables of the process.
std::vector<std::string> VariableNames();

// Returns those names that begin with LOSSD_ and set no flag: they are mistakes
// that nobody would notice. The variables that Kubernetes sets for a service
// called lossd, such as LOSSD_SERVICE_HOST, are none of them.
std::vector<std::string> UnknownVariables(
    const std::vector<std::string>& names);

}  // namespace lossd

#endif  // LOSSD_SERVER_ENVIRONMENT_H_
