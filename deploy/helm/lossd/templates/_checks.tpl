{{/* Refuses values that fit the schema but not each other. Each message begins with the value
that is wrong. */}}
{{- define "lossd.check" -}}
{{- include "lossd.checkFlags" . -}}
{{- include "lossd.checkDrain" . -}}
{{- include "lossd.checkSecurity" . -}}
{{- include "lossd.checkMemory" . -}}
{{- include "lossd.checkFolder" . -}}
{{- include "lossd.checkScale" . -}}
{{- end -}}

{{- define "lossd.checkFlags" -}}
{{- $values := dict "listen" "listenHost and ports.grpc" "metrics_listen" "listenHost and ports.metrics" "drain_delay" "drain.delaySeconds" "drain_timeout" "drain.timeoutSeconds" "tls_cert" "tls.secret or tls.certManager" "tls_key" "tls.secret or tls.certManager" "tls_client_ca" "tls.clientCaSecret" "token_file" "tokens.secret" "shared_memory_socket" "sharedMemory" "max_shared_memory_bytes" "sharedMemory.max" -}}
{{- range $flag, $value := $values -}}
{{- if hasKey $.Values.flags $flag -}}
{{- fail (printf "flags.%s: the chart sets this flag from %s" $flag $value) -}}
{{- end -}}
{{- end -}}
{{- if and (gt (int .Values.gpu.count) 0) (eq (get .Values.flags "backend") "cpu") -}}
{{- fail (printf "gpu.count: %d GPUs would be unused with flags.backend=cpu" (int .Values.gpu.count)) -}}
{{- end -}}
{{- if eq (int .Values.ports.grpc) (int .Values.ports.metrics) -}}
{{- fail (printf "ports.metrics: %d is ports.grpc too" (int .Values.ports.metrics)) -}}
{{- end -}}
{{- end -}}

{{- define "lossd.drainSeconds" -}}
{{- add (int .Values.drain.delaySeconds) (int .Values.drain.timeoutSeconds) (int .Values.drain.marginSeconds) -}}
{{- end -}}

{{- define "lossd.graceSeconds" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- include "lossd.drainSeconds" . -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{- define "lossd.checkDrain" -}}
{{- $need := include "lossd.drainSeconds" . | int -}}
{{- $grace := include "lossd.graceSeconds" . | int -}}
{{- if lt $grace $need -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is less than the %d of drain.delaySeconds (%d), drain.timeoutSeconds (%d) and drain.marginSeconds (%d) together: Kubernetes would kill a server that is still answering" $grace $need (int .Values.drain.delaySeconds) (int .Values.drain.timeoutSeconds) (int .Values.drain.marginSeconds)) -}}
{{- end -}}
{{- end -}}

{{- define "lossd.checkSecurity" -}}
{{- $tls := include "lossd.tlsSecret" . -}}
{{- if and .Values.tls.secret .Values.tls.certManager.enabled -}}
{{- fail (printf "tls.secret: %q and tls.certManager.enabled exclude each other" .Values.tls.secret) -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuer.name) -}}
{{- fail "tls.certManager.issuer.name: cert-manager needs the name of an issuer" -}}
{{- end -}}
{{- if and .Values.tls.clientCaSecret (not $tls) -}}
{{- fail (printf "tls.clientCaSecret: %q needs tls.secret or tls.certManager.enabled" .Values.tls.clientCaSecret) -}}
{{- end -}}
{{- if and .Values.tokens.probeKey (not .Values.tokens.secret) -}}
{{- fail (printf "tokens.probeKey: %q needs tokens.secret" .Values.tokens.probeKey) -}}
{{- end -}}
{{- if eq (toString (get .Values.flags "metrics_need_token")) "true" -}}
{{- if not .Values.tokens.secret -}}
{{- fail "flags.metrics_need_token: true needs tokens.secret" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.serviceMonitor.token.secret) -}}
{{- fail "serviceMonitor.token.secret: flags.metrics_need_token asks scrapes for a token too" -}}
{{- end -}}
{{- end -}}
{{- if and (get .Values.flags "otlp_endpoint") .Values.networkPolicy.enabled (not .Values.networkPolicy.egress) -}}
{{- fail (printf "networkPolicy.egress: the servers could not reach flags.otlp_endpoint (%s); allow the collector and the DNS" (get .Values.flags "otlp_endpoint")) -}}
{{- end -}}
{{- if and (eq .Values.probes.type "grpc") $tls -}}
{{- fail "probes.type: a gRPC probe speaks plaintext, which a server with TLS refuses: use auto, exec or http" -}}
{{- end -}}
{{- end -}}

{{- define "lossd.checkMemory" -}}
{{- $least := mul 256 1048576 -}}
{{- $usable := include "lossd.usableBytes" . | int64 -}}
{{- if lt $usable $least -}}
{{- if include "lossd.sharesMemory" . -}}
{{- fail (printf "resources.limits.memory: %s leaves %d bytes beside sharedMemory.max (%s), and the server needs 256Mi" (toString .Values.resources.limits.memory) $usable (toString .Values.sharedMemory.max)) -}}
{{- end -}}
{{- fail (printf "resources.limits.memory: %s is less than the 256Mi that the server needs" (toString .Values.resources.limits.memory)) -}}
{{- end -}}
{{- $need := include "lossd.neededBytes" . | int64 -}}
{{- if gt $need $usable -}}
{{- fail (printf "resources.limits.memory: %s leaves %d bytes for requests, but flags.max_inflight_bytes and flags.max_inflight_requests allow %d (README.md, What a container needs)" (toString .Values.resources.limits.memory) $usable $need) -}}
{{- end -}}
{{- end -}}

{{- define "lossd.checkScale" -}}
{{- $scaling := .Values.autoscaling -}}
{{- $scaled := ne $scaling.kind "none" -}}
{{- if and $scaled (eq .Values.kind "DaemonSet") -}}
{{- fail (printf "autoscaling.kind: %s cannot scale a DaemonSet, which has one server on each node" $scaling.kind) -}}
{{- end -}}
{{- if and $scaled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas: %d is more than autoscaling.maxReplicas (%d)" (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- if and $scaled (kindIs "invalid" $scaling.cpuUtilization) (kindIs "invalid" $scaling.queueSecondsPerComputeSecond) -}}
{{- fail "autoscaling.cpuUtilization: it and autoscaling.queueSecondsPerComputeSecond are both null, so there is nothing to scale on" -}}
{{- end -}}
{{- if and (eq $scaling.kind "keda") (not $scaling.prometheus) (not (kindIs "invalid" $scaling.queueSecondsPerComputeSecond)) -}}
{{- fail "autoscaling.prometheus: keda needs the address of Prometheus, such as http://prometheus.monitoring:9090" -}}
{{- end -}}
{{- if and .Values.service.local (eq .Values.kind "Deployment") -}}
{{- fail "service.local: a node without a server of the Deployment would have none; use kind: DaemonSet" -}}
{{- end -}}
{{- include "lossd.checkBudget" . -}}
{{- end -}}

{{/* The number of servers that there are at least. */}}
{{- define "lossd.leastReplicas" -}}
{{- ternary (int .Values.replicas) (int .Values.autoscaling.minReplicas) (eq .Values.autoscaling.kind "none") -}}
{{- end -}}

{{- define "lossd.checkFolder" -}}
{{- $parts := splitList "/" (trimAll "/" .Values.sharedMemory.hostPath) -}}
{{- $system := list "bin" "boot" "dev" "etc" "lib" "lib64" "proc" "root" "sbin" "sys" "usr" -}}
{{- $shared := list "var/cache" "var/lib" "var/log" "var/run" "var/tmp" -}}
{{- if and (include "lossd.sharesMemory" .) .Values.sharedMemory.prepareFolder -}}
{{- if or (lt (len $parts) 2) (has (first $parts) $system) (has (join "/" $parts) $shared) -}}
{{- fail (printf "sharedMemory.hostPath: %s belongs to the node's system, and would be given to the server's user; name a folder of its own, such as /run/lossd" .Values.sharedMemory.hostPath) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "lossd.checkBudget" -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- if $budget.enabled -}}
{{- if eq (kindIs "invalid" $budget.maxUnavailable) (kindIs "invalid" $budget.minAvailable) -}}
{{- fail "podDisruptionBudget.maxUnavailable: exactly one of it and podDisruptionBudget.minAvailable must be set, and the other null" -}}
{{- end -}}
{{- if not (kindIs "invalid" $budget.minAvailable) -}}
{{- $servers := include "lossd.leastReplicas" . | int -}}
{{- $least := int (toString $budget.minAvailable) -}}
{{- if hasSuffix "%" (toString $budget.minAvailable) -}}
{{- /* Kubernetes rounds a share up. */ -}}
{{- $least = div (add (mul (int (trimSuffix "%" $budget.minAvailable)) $servers) 99) 100 -}}
{{- end -}}
{{- if ge (int $least) $servers -}}
{{- fail (printf "podDisruptionBudget.minAvailable: with %d of %d servers no node could ever be drained" (int $least) $servers) -}}
{{- end -}}
{{- end -}}
{{- if or (eq (toString $budget.maxUnavailable) "0") (eq (toString $budget.maxUnavailable) "0%") (eq (toString $budget.minAvailable) "100%") -}}
{{- fail "podDisruptionBudget.maxUnavailable: without any disruption no node could ever be drained" -}}
{{- end -}}
{{- end -}}
{{- end -}}
